"""One message through relay/passage.py between the two invented people of support.py, for golden cases and campaigns."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Any

from support import correspondence

from aliasing.correspondence import Correspondence, Direction
from aliasing.rewrite import Threads, outgoing_id
from policy.case import AddressState, Facts, PolicySettings, RelayBlocks
from relay.passage import Passage, examine_all, files_of, make_case, pass_through, read

FRAME = correspondence()
NOW = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
ORIGINAL = b"original@reader.example"
"""How the reader's mailbox knows a message that went the other way."""
KNOWN = outgoing_id(FRAME, ORIGINAL)
"""How the writer's mailbox knows it."""
MESSAGE_ID = "0123456789abcdef"


def through(data: bytes, direction: Direction, frame: Correspondence = FRAME, **settings: Any) -> Passage:
    """What becomes of `data` (CRLF), written by its party's registered address; with the footer off unless asked for."""
    message_settings = PolicySettings(footer=False, critical_subjects={"en": ("Additional Information Required",)})
    facts = Facts(
        correspondence=frame, direction=direction,
        writer_addresses={one.key: AddressState.AUTHORISED for one in frame.addresses[direction.writer]},
        reader_addresses=frozenset(one.key for one in frame.addresses[direction.reader]),
        originals={outgoing_id(frame, ORIGINAL): ORIGINAL})
    letter = read(data)
    chosen = replace(message_settings, **settings)
    case = make_case(letter, facts, client=ip_address("192.0.2.1"), reverse_path=None, settings=chosen,
                     blocks=RelayBlocks(), now=NOW,
                     files=examine_all(files_of(letter), scrub=chosen.metadata == "scrub"))
    return pass_through(case, Threads(MESSAGE_ID, NOW, facts.originals))
