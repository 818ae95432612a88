"""Looks for octets in a file, as a process of its own: `search.py FILE`, the octets on standard input.

SQLite's locks on a ledger are POSIX locks, which a process loses when it closes any descriptor of that file: whoever
has a ledger open must not open its file besides (sqlite.org/howtocorrupt.html, 2.2).
"""

from __future__ import annotations

import sys
from pathlib import Path

FOUND, PIECE_BYTES = 3, 1 << 20


def main() -> int:
    """FOUND when they are there, 0 when they are not."""
    octets, tail = sys.stdin.buffer.read(), b""
    with Path(sys.argv[1]).open("rb") as file:
        while piece := file.read(PIECE_BYTES):
            if octets in tail + piece:
                return FOUND
            tail = piece[-len(octets):]
    return 0


if __name__ == "__main__":
    sys.exit(main())
