"""A message's timeline in words: from the ledger's events to lines that a seller understands."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from relay.web.page.words import Words

_TONES = {"delivered": "good", "deferred": "wait", "held": "wait", "queued": "", "failed": "bad", "refused": "bad",
          "auto": "", "self": ""}
_CODES = ("5.1.1", "5.1.2", "5.1.6", "5.1.10", "5.2.1", "5.2.2", "5.2.3", "5.3.4", "5.4.4", "5.7.1", "5.7.26", "4.2.1",
          "4.2.2", "4.3.1", "4.4.1", "4.4.2", "4.4.3", "4.7.0", "4.7.1")
"""Enhanced codes (RFC 3463) that have words of their own: code.5_1_1."""
_REMOVED = (
    (r"GPS|EXIF|XMP|IPTC|PDF |PNG |JPEG |GIF |TIFF |BMP |Photoshop|doc |docx |comment|data after", "metadata"),
    (r".* in a picture", "metadata"),
    (r"tracking pixel", "pixel"), (r"external image|background image", "external_image"),
    (r"embedded image|image wider", "image"), (r"script link|script|attribute on|event handler", "script"),
    (r"link", "link"), (r"form field", "form"), (r"frame|embedded object|audio or video|drawing", "object"),
    (r"hidden text", "hidden"), (r"CSS |style sheet|oversized style|font face", "style"),
)
"""How the ledger's notes begin -> cleaned.NAME, the first that fits."""
_NOTE = re.compile(r"(?:part [\d.]+|(?P<file>.+?)): (?P<what>.+?)(?: \((?P<count>\d+)\))? removed", re.DOTALL)

_MEDIA_TYPE = re.compile(r"[a-z]+/[a-z0-9.+-]+")
"""What the notes call a file that has no name."""


@dataclass(frozen=True)
class Line:
    """One thing that happened; `remote` is another server's own text, for those who may see it."""

    at: str
    words: str
    tone: str = ""
    rules: tuple[tuple[str, str, str], ...] = ()
    """(rule in words, verdict in words, tone) of what was checked."""
    remote: str | None = None


def tone(state: str) -> str:
    """The class of a state's chip."""
    return _TONES.get(state, "")


def lines(message: Mapping[str, Any], words: Words) -> list[Line]:
    """The timeline, the oldest first."""
    return [line for event in message["events"] if (line := _line(event, words)) is not None]


def cleaned(message: Mapping[str, Any], words: Words) -> list[str]:
    """What was taken out of it on its way, each kind once."""
    found: Counter[tuple[str, str]] = Counter()
    for event in message["events"]:
        if event["kind"] == "cleaned":
            for note in event["detail"]:
                name, file, count = _removed(note)
                found[name, file] += count
    said = []
    for (name, file), count in found.items():
        what = words.some(f"cleaned.{name}", count)
        said.append(words("cleaned.in_file", file=file, what=what) if file else what)
    return said


def _removed(note: str) -> tuple[str, str, int]:
    """One of the ledger's notes -> (kind, file, how often)."""
    match = _NOTE.fullmatch(note)
    if match is None:
        return ("address", note.partition(":")[0], 1) if "real address" in note else ("left_out", "", 1)
    name = next((name for pattern, name in _REMOVED if re.match(pattern, match["what"])), "other")
    file = match["file"] or ""
    return name, "" if _MEDIA_TYPE.fullmatch(file) else file, int(match["count"] or 1)


def _line(event: Mapping[str, Any], words: Words) -> Line | None:
    kind, name, at = event["kind"], event["name"], event["at"]
    if kind == "verdict":
        return Line(at, _judged(name, words), "good" if name == "pass" else "bad", _rules(event["detail"], words))
    if kind == "attempt":
        return Line(at, words("event.attempt", number=name))
    if kind == "outcome":
        return Line(at, words(f"event.{name}", why=reason(event["detail"], words)), tone(name), remote=event["remote"])
    if kind == "dsn":
        known = name if name in ("failed", "delayed", "delivered", "relayed", "expanded") else "other"
        return Line(at, words(f"event.dsn_{known}", why=reason(event["detail"], words)),
                    {"failed": "bad", "delayed": "wait"}.get(known, ""), remote=event["remote"])
    if kind == "cleaned":
        return Line(at, words("event.cleaned"))
    plain = f"event.{kind}_{name.replace('-', '_')}"
    for text in (*([f"{plain}_why"] if event["detail"] else []), plain, f"event.{kind}"):
        if words.has(text):
            return Line(at, words(text, detail=event["detail"]))
    return None


def _judged(name: str, words: Words) -> str:
    return words("event.passed") if name == "pass" else words("event.stopped", rule=rule(name, words))


def _rules(detail: Sequence[Mapping[str, str]], words: Words) -> tuple[tuple[str, str, str], ...]:
    tones = {"pass": "good", "not run": ""}
    return tuple((rule(one["rule"], words), words(f"verdict.{one['verdict'].replace(' ', '_')}"),
                  tones.get(one["verdict"], "bad")) for one in detail)


def rule(name: str, words: Words) -> str:
    """A rule's name in words; a new one's as it is."""
    text = f"rule.{name.replace('-', '_')}"
    return words(text) if words.has(text) else name


def reason(code: str, words: Words) -> str:
    """An SMTP code ("550 5.1.1") in words, with the code itself."""
    enhanced = code.rpartition(" ")[2]
    known = enhanced if enhanced in _CODES else {"2": "2", "4": "4"}.get(code[:1], "5")
    said = words(f"code.{known.replace('.', '_')}")
    return f"{said} ({code})" if code else said
