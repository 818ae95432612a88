"""Everything that Tradepost raises on purpose.

TradepostError
├── UsageError        an unknown order, an invalid address: the command line's caller can mend it (exit 2)
│   ├── NotFound      what was named does not exist
│   └── Conflict      what was asked for contradicts what is there
├── ConfigError       the configuration is wrong; carries every problem at once (exit 2)
├── KeyRingFileError  the key ring is missing, unreadable or not ours (exit 2)
│   └── WrongRing     a record does not open with this ring (a LedgerError as well)
└── LedgerError       the ledger cannot be used
    ├── SchemaError   it was made by another version (exit 2)
    ├── LedgerBusy    another process holds it, or no descriptor is left; try again (4xx)
    ├── Overtaken     what a verdict rested on has changed meanwhile; judge again
    ├── StorageFull   no space left (452)
    └── StorageFailed an I/O error: nothing written after this can be trusted (421, exit non-zero)

Each message is one line that names the thing and the mend.
"""

from __future__ import annotations


class TradepostError(Exception):
    """Base of all."""


class UsageError(TradepostError):
    """`hint` is the mend in the words of the command line; the API leaves it out."""

    def __init__(self, problem: str, hint: str = "") -> None:
        super().__init__(f"{problem}; {hint}" if hint else problem)
        self.problem = problem


class NotFound(UsageError):  # noqa: N818 - a state of the world, not a mistake
    pass


class Conflict(UsageError):  # noqa: N818
    pass


class ConfigError(TradepostError):
    """`problems` are lines such as `tradepost.toml:12: listen.mx: …`."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class KeyRingFileError(TradepostError):
    pass


class LedgerError(TradepostError):
    pass


class WrongRing(KeyRingFileError, LedgerError):  # noqa: N818 - states, not mistakes
    pass


class SchemaError(LedgerError):
    pass


class LedgerBusy(LedgerError):  # noqa: N818 - states, not mistakes
    pass


class Overtaken(LedgerError):  # noqa: N818
    pass


class StorageFull(LedgerError):  # noqa: N818
    pass


class StorageFailed(LedgerError):  # noqa: N818
    pass
