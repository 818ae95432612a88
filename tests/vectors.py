"""Published vectors, which stand beside the checkout, and the zones in them as our name server takes them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import dns.name
import pytest
import yaml

from relay.demo.nameserver import BROKEN

HERE = Path(__file__).resolve()


def folder() -> Path | None:
    """$TRADEPOST_VECTORS, else the shared/vectors of a folder above this checkout."""
    named = os.environ.get("TRADEPOST_VECTORS")
    places = [Path(named)] if named else [above / "shared" / "vectors" for above in HERE.parents]
    return next((place for place in places if place.is_dir()), None)


def documents(name: str) -> list[dict[str, Any]]:
    """The documents of a YAML file of vectors; empty where there is none."""
    found = folder()
    path = found / name if found else None
    return list(yaml.safe_load_all(path.read_text())) if path and path.exists() else []


def none_here(found: Iterable[object]) -> pytest.MarkDecorator:
    return pytest.mark.skipif(not found, reason="no shared/vectors beside the checkout; TRADEPOST_VECTORS names it")


def quoted(*strings: str) -> str:
    """A TXT record in presentation form, octet by octet."""
    out = []
    for text in strings:
        octets = text.encode("utf-8", "surrogateescape")
        parts = [octets[at:at + 255] for at in range(0, len(octets), 255)] or [b""]
        out += ['"' + "".join(chr(char) if 32 <= char < 127 and char not in b'"\\' else f"\\{char:03d}"
                              for char in part) + '"' for part in parts]
    return " ".join(out) or '""'


def spf_zone(data: Mapping[str, Iterable[Any]]) -> dict[tuple[str, str], list[str]]:
    """The zonedata of an SPF suite: type SPF stands for TXT where a name has none; TIMEOUT for no usable answer."""
    zone: dict[tuple[str, str], list[str]] = {}
    for name, records in data.items():
        owner = dns.name.from_text(name).to_text(omit_final_dot=True).lower()
        own: dict[str, list[str]] = {}
        silent = False
        for record in records:
            if record == "TIMEOUT":
                silent = True
                continue
            (kind, value), = record.items()
            if value == "NONE":
                own.setdefault(kind, [])
            else:
                own.setdefault(kind, []).append(_presented(kind, value))
        if "SPF" in own and "TXT" not in own:
            own["TXT"] = own["SPF"]
        own.pop("SPF", None)
        for kind, values in own.items():
            if values:
                zone[owner, kind] = values
        zone.setdefault((owner, "TYPE65280"), [])  # so that the name exists
        for kind in ("TXT", "A", "AAAA", "MX", "PTR") if silent else ():
            zone.setdefault((owner, kind), [BROKEN])
    return zone


def _presented(kind: str, value: Any) -> str:
    if value == "TIMEOUT":
        return BROKEN
    if kind in ("TXT", "SPF"):
        return quoted(*([value] if isinstance(value, str) else value))
    if kind == "MX":
        return f"{value[0]} {value[1].rstrip('.')}."
    return value.rstrip(".") + "." if kind in ("CNAME", "PTR") else value
