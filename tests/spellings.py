"""The ways in which people and programs write an address, and how mail encodes what holds it."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from random import Random
from urllib.parse import quote

import idna

Spelling = Callable[[Random, str, str], str]
"""(chance, local part, domain) -> the address so spelt."""


def _inside(rng: Random, text: str, marks: str, times: int = 3) -> str:
    for _ in range(rng.randint(1, times)):
        at = rng.randint(1, len(text) - 1)
        text = text[:at] + rng.choice(marks) + text[at:]
    return text


def _wide(rng: Random, local: str, domain: str) -> str:
    """All of it full-width, or only some signs, as an input method leaves them."""
    text, every = f"{local}@{domain}", rng.random() < 0.5
    wide = "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" and (every or rng.random() < 0.3) else c for c in text)
    return wide if wide != text else text.replace("@", "\uff20")


def _percent(rng: Random, local: str, domain: str) -> str:
    some = rng.choice((r"[@]", r"[@.]", r"[@.a-e]", r"."))
    text = quote(f"{local}@{domain}", safe="@.")
    return re.sub(rf"%[0-9A-F]{{2}}|{some}", lambda one: one[0] if len(one[0]) > 1 else f"%{ord(one[0]):02X}", text)


def _words(at: tuple[str, ...], dot: tuple[str, ...]) -> Spelling:
    def spell(rng: Random, local: str, domain: str) -> str:
        said = rng.choice(dot)
        whole = local.replace(".", said) if rng.random() < 0.5 else local
        return whole + rng.choice(at) + domain.replace(".", said)

    return spell


def _around_at(*ways: str) -> Spelling:
    return lambda rng, local, domain: local + rng.choice(ways) + domain


SPELLINGS: dict[str, Spelling] = {
    "as is": lambda rng, local, domain: f"{local}@{domain}",
    "upper case": lambda rng, local, domain: f"{local}@{domain}".upper(),
    "mixed case": lambda rng, local, domain: f"{local.title()}@{domain.title()}",
    "plus": lambda rng, local, domain: f"{local}+{rng.choice(('shop', '2026', 'a.b', 'x-1'))}@{domain}",
    "full width": _wide,
    "zero width": lambda rng, local, domain: _inside(rng, f"{local}@{domain}", "\u200b\u200c\u200d\u2060\ufeff"),
    "soft hyphen": lambda rng, local, domain: _inside(rng, f"{local}@{domain}", "\u00ad"),
    "spaces": _around_at(" @ ", "@ ", " @", "  @  "),
    "line break": _around_at("@\n", "\n@", " @\n", "\n@ "),
    "at dot": _words((" at ", " AT ", " (at) ", " [at] ", "(at)"), (" dot ", " DOT ", " (dot) ", " [dot] ", "(dot)")),
    "(at) (punto)": _words((" (at) ", " (arroba) ", "(arroba)"), (" (punto) ", "(punto)", " [punto] ")),
    "arroba punto": _words((" arroba ", " ARROBA "), (" punto ", " PUNTO ")),
    "percent": _percent,
    "double percent": lambda rng, local, domain: _percent(rng, local, domain).replace("%", "%25"),
}
COMPACT = ("as is", "upper case", "mixed case", "plus", "percent")
"""What an id, a boundary or a field's name can hold."""


def spell(rng: Random, address: str, compact: bool = False) -> tuple[str, str]:
    """(name of the spelling, the address so spelt); an internationalised domain in either of its forms."""
    local, _, domain = address.rpartition("@")
    name = rng.choice(COMPACT if compact else tuple(SPELLINGS))
    form = ""
    if not domain.isascii():
        form = " of punycode" if compact or rng.random() < 0.5 else " of IDN"
        domain = idna.encode(domain).decode() if form == " of punycode" else domain
    return name + form, SPELLINGS[name](rng, local, domain)


SURROUNDINGS = ("{}", "({})", "<{}>", "«{}»,", "{}.", "{};", "¿{}?", "'{}'", '"{}"', "**{}**", "_{}_", "`{}`", "- {}",
                "[{}](mailto:{})", "連絡先{}まで", "メール：{}。", "请写信到{}谢谢", "E-Mail:{}", "mailto:{}", "{}/", "={}=",
                "EMAIL;TYPE=WORK:{}", "|{}|", "~~{}~~", "{}!", "{}…")

_WHO = ("Sol", "Ana López", "Müller, Jörg", "佐藤 花子")
_ATTRIBUTIONS = (
    # Gmail
    "On Tue, 24 Nov 2026 at 10:00, {n} <{a}> wrote:", "El mar, 24 nov 2026 a las 10:00, {n} (<{a}>) escribió:",
    "Am Di., 24. Nov. 2026 um 10:00 Uhr schrieb {n} <{a}>:", "Le mar. 24 nov. 2026 à 10:00, {n} <{a}> a écrit :",
    "Il giorno mar 24 nov 2026 alle ore 10:00 {n} <{a}> ha scritto:",
    "Em ter., 24 de nov. de 2026 às 10:00, {n} <{a}> escreveu:", "Op di 24 nov 2026 om 10:00 schreef {n} <{a}>:",
    "2026年11月24日(火) 10:00 {n} <{a}>:",
    # Apple Mail
    "On 24 Nov 2026, at 10:00, {n} <{a}> wrote:", "El 24 nov 2026, a las 10:00, {n} <{a}> escribió:",
    "Am 24.11.2026 um 10:00 schrieb {n} <{a}>:", "Le 24 nov. 2026 à 10:00, {n} <{a}> a écrit :",
    "Il giorno 24 nov 2026, alle ore 10:00, {n} <{a}> ha scritto:",
    "No dia 24/11/2026, às 10:00, {n} <{a}> escreveu:",
    "Op 24 nov. 2026, om 10:00 heeft {n} <{a}> het volgende geschreven:", "2026/11/24 10:00、{n} <{a}>のメール:",
    # Thunderbird, with the address in its template
    "On 24/11/2026 10:00, {n} ({a}) wrote:", "El 24/11/2026 a las 10:00, {n} <{a}> escribió:",
    "Am 24.11.26 um 10:00 schrieb {n} <{a}>:", "Le 24/11/2026 à 10:00, {n} - {a} a écrit :",
    "Il 24/11/2026 10:00, {n} [{a}] ha scritto:", "Op 24-11-2026 om 10:00 schreef {n} <{a}>:",
    "{n}<{a}>さんが2026/11/24 10:00に書きました:",
    # Outlook
    "From: {n} <{a}>\nSent: Tuesday, November 24, 2026 10:00 AM\nTo: Shop",
    "De: {n} <{a}>\nEnviado el: martes, 24 de noviembre de 2026 10:00\nPara: Tienda",
    "Von: {n} [mailto:{a}]\nGesendet: Dienstag, 24. November 2026 10:00\nAn: Laden",
    "De : {n} <{a}>\nEnvoyé : mardi 24 novembre 2026 10:00\nÀ : Boutique",
    "Da: {n} <{a}>\nInviato: martedì 24 novembre 2026 10:00\nA: Negozio",
    "De: {n} <{a}>\nEnviada em: terça-feira, 24 de novembro de 2026 10:00\nPara: Loja",
    "Van: {n} <{a}>\nVerzonden: dinsdag 24 november 2026 10:00\nAan: Winkel",
    "差出人: {n} <{a}>\n送信日時: 2026年11月24日 10:00\n宛先: 店",
)


def attribution(rng: Random, spelt: str) -> str:
    """The line or block with which a client introduces what it quotes."""
    return rng.choice(_ATTRIBUTIONS).replace("{n}", rng.choice(_WHO)).replace("{a}", spelt)


# --- how mail encodes ----------------------------------------------------------------------------------------------


def quoted_printable(rng: Random, data: bytes) -> bytes:
    """RFC 2045 6.7 with soft line breaks wherever chance sets them, and the @ sometimes as =40."""
    special = re.compile(rng.choice((rb"[^ -<>-~]", rb"[^ -<>-?A-~]", rb"[^ -*/-9A-~]")))
    lines = []
    for line in data.split(b"\r\n"):
        pieces, at = [], 0
        while at < len(line):
            step = rng.choice((4, 7, 13, 24, 24, 24))
            pieces.append(special.sub(lambda one: b"=%02X" % one[0][0], line[at : at + step]))
            at += step
        if pieces and pieces[-1].endswith(b" "):
            pieces[-1] = pieces[-1][:-1] + b"=20"
        lines.append(b"=\r\n".join(pieces))
    return b"\r\n".join(lines)


def base64_lines(rng: Random, data: bytes) -> bytes:
    width = rng.choice((76, 76, 72, 64, 60, 73, 57, 19, 998))
    text = base64.b64encode(data)
    return b"\r\n".join(text[at : at + width] for at in range(0, len(text), width)) + b"\r\n"


def encoded_words(rng: Random, text: str) -> bytes:
    """RFC 2047 words of a few characters each, so that they split an address; B and Q mixed."""
    charset = next(one for one in (rng.choice(("iso-8859-1", "windows-1252", "iso-2022-jp", "utf-8")), "utf-8")
                   if _holds(one, text))
    words, at = [], 0
    while at < len(text):
        step = rng.randint(3, 14)
        data = text[at : at + step].encode(charset)
        if rng.random() < 0.5:
            words.append(b"=?%s?B?%s?=" % (charset.encode(), base64.b64encode(data)))
        else:
            quoted = re.sub(rb"[^A-Za-z0-9!*+/-]", lambda one: b"=%02X" % one[0][0], data)
            words.append(b"=?%s?Q?%s?=" % (charset.encode(), quoted.replace(b"=20", b"_")))
        at += step
    return rng.choice((b" ", b"\r\n ", b"\r\n\t")).join(words)


def _holds(charset: str, text: str) -> bool:
    try:
        text.encode(charset)
    except UnicodeEncodeError:
        return False
    return True


def header_text(rng: Random, text: str) -> bytes:
    """An unstructured value: raw (line breaks as folds), raw 8-bit, or encoded words."""
    if rng.random() < 0.5:
        return encoded_words(rng, text.replace("\n", " "))
    return raw_text(rng, text)


def raw_text(rng: Random, text: str) -> bytes:
    charset = "latin-1" if rng.random() < 0.3 and _holds("latin-1", text) else "utf-8"
    return text.encode(charset).replace(b"\n", b"\r\n ")


def file_name(rng: Random, way: str, key: str, name: str) -> bytes:
    """`; filename=…` in one of the forms that clients write."""
    name = name.replace("\n", " ")
    if way == "RFC 2047":
        return f'; {key}="'.encode() + encoded_words(rng, name).replace(b"\r\n\t", b" ").replace(b"\r\n ", b" ") + b'"'
    if way == "RFC 2231":
        return f"; {key}*=utf-8'{rng.choice(('', 'es'))}'{quote(name, safe='')}".encode()
    if way == "RFC 2231 continuations":
        text, pieces = quote(name, safe="@" if rng.random() < 0.5 else ""), []
        while text:
            step = rng.randint(4, 20)
            step += 2 if text[step - 1 : step] == "%" else 1 if text[step - 2 : step - 1] == "%" else 0
            pieces.append(text[:step])
            text = text[step:]
        pieces[0] = "utf-8''" + pieces[0]
        return "".join(f";\r\n {key}*{index}*={piece}" for index, piece in enumerate(pieces)).encode()
    return f'; {key}="'.encode() + raw_text(rng, name) + b'"'
