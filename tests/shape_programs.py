"""The shapes of programs and of odd but honest clients: shops, help desks, scanners, other scripts, careless headers."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from shape_build import Entity, Letter, attachment, base64_lines, mixed, multipart, raw_latin1, text, words
from shape_clients import mail
from shape_files import File, jpeg, pdf, tiff

SHAPES: dict[str, Callable[[Random, str, str], bytes]] = {}


def shape(make: Callable[[Random, str, str], bytes]) -> Callable[[Random, str, str], bytes]:
    SHAPES[make.__name__] = make
    return make


def bare(fields: list[str], body: bytes) -> bytes:
    """A message with these fields and no others."""
    return Entity(tuple(fields), body).raw()


@shape
def php_shop_html(rng: Random, sender: str, to: str) -> bytes:
    """mail() of PHP: no Date nor Message-ID of its own, raw UTF-8, one line of HTML of some 1,500 characters."""
    letter = Letter.write(rng, sender, to, files=0)
    cells = "".join(f'<tr><td style="padding:4px;border-bottom:1px solid #eee">{row}</td></tr>' for row in letter.paragraphs * 4)
    page = (f'<!DOCTYPE html><html><head><meta charset="utf-8"><title>{letter.subject}</title></head><body bgcolor="#f6f6f6"><table width="600" align="center" cellpadding="0" cellspacing="0" '
            f'border="0" style="width:600px;max-width:100%;font-family:Arial,sans-serif"><tbody>{cells}</tbody></table><p>{letter.language.closing} <a href="https://www.tienda.example/pedido/111-2222222-3333333?a=1&amp;b=2">www.tienda.example</a></p></body></html>')
    fields = [f"To: {to}", f"Subject: {words(letter.subject, 'UTF-8', 'B')}", "X-PHP-Originating-Script: 33:class-mailer.php", f"From: {words(letter.name)} <{sender}>",
              "MIME-Version: 1.0", "Content-type: text/html; charset=UTF-8"]
    return bare(fields, page.encode() + b"\r\n")


@shape
def php_bare(rng: Random, sender: str, to: str) -> bytes:
    """No MIME at all: Latin-1 octets in subject and body."""
    letter = Letter.write(rng, sender, to, ("es", "de", "pt", "sv"), files=0)
    return bare([f"From: {sender}", f"To: {to}", f"Subject: {raw_latin1(letter.subject)}"], letter.plain().encode("latin-1", "replace"))


@shape
def php_utf8_subject(rng: Random, sender: str, to: str) -> bytes:
    """Raw UTF-8 in the header, a charset named and no transfer encoding."""
    letter = Letter.write(rng, sender, to, files=0)
    return bare([f"To: {to}", f"Subject: {letter.subject}", f"From: {letter.name} <{sender}>", "Content-Type: text/plain;charset=utf-8", f"Reply-To: {sender}"], letter.plain().encode())


@shape
def phpmailer(rng: Random, sender: str, to: str) -> bytes:
    letter = Letter.write(rng, sender, to)
    page = "<html><body>" + letter.markup() + "</body></html>\r\n"
    body = multipart("alternative", f"b2_{letter.hex(32)}", [text(letter.plain(), "utf-8", "8bit"), text(page, "utf-8", "8bit", "text/html")])
    body = mixed(body, [attachment(one, "2047", charset="utf-8") for one in letter.files], f"b1_{letter.hex(32)}", preamble="This is a multi-part message in MIME format.\r\n")
    return mail(letter, body, "X-Mailer: PHPMailer 6.9.1 (https://mailer.example/)", charset="utf-8", trace=False)


@shape
def nodemailer(rng: Random, sender: str, to: str) -> bytes:
    letter = Letter.write(rng, sender, to)
    body = multipart("alternative", f"--_NmP-{letter.hex(16)}-Part_2", [text(letter.plain(), "utf-8", "quoted-printable"), text(letter.markup(newline=""), "utf-8", "quoted-printable", "text/html")])
    return mail(letter, mixed(body, [attachment(one, "2231-long", charset="utf-8") for one in letter.files], f"--_NmP-{letter.hex(16)}-Part_1"), charset="UTF-8", trace=False)


@shape
def python_script(rng: Random, sender: str, to: str) -> bytes:
    """smtplib with email.message: base64 text, boundary of equal signs."""
    letter = Letter.write(rng, sender, to)
    body = text(letter.plain(), '"utf-8"', "base64")
    return mail(letter, mixed(body, [attachment(one, "2231", charset="utf-8") for one in letter.files], f"==============={rng.randint(10**18, 10**19)}=="), charset="utf-8", kind="B", trace=False)


@shape
def help_desk_ticket(rng: Random, sender: str, to: str) -> bytes:
    letter = Letter.write(rng, sender, to)
    letter.subject = f"[{letter.name}] Re: {letter.subject}"
    line = "##- Por favor, escriba su respuesta por encima de esta línea. -##"
    page = ('<!DOCTYPE html><html><head><meta http-equiv="Content-Type" content="text/html; charset=utf-8"/><style type="text/css">table td {border-collapse: collapse;}\r\nbody[dir=rtl] .directional_text_wrapper { direction: rtl; }</style></head>'
            f'<body style="width: 100%!important; margin: 0; padding: 0;"><div style="color: #b5b5b5;">{line}</div>' + letter.markup('<p dir="auto" style="color:#2b2e2f;font-size:14px;line-height:22px;margin:15px 0">{}</p>')
            + '<div style="padding: 10px; line-height: 18px; font-size: 12px; color: #aaaaaa;">Este correo es un servicio de Tienda Sol.</div></body></html>')
    body = multipart("alternative", f"--==_mimepart_{letter.hex(24)}", [text(line + "\r\n\r\n" + letter.plain(), "utf-8", "quoted-printable", extra=""), text(page, "utf-8", "quoted-printable", "text/html")])
    body = mixed(body, [attachment(one, "2047") for one in letter.files], f"--==_mimepart_{letter.hex(20)}", extra=";\r\n charset=utf-8")
    return mail(letter, body, f"Reply-To: {words(letter.name)} <{sender}>", "X-Mailer: Zendesk Mailer", "Auto-Submitted: no", "X-Auto-Response-Suppress: All", f"X-Zendesk-From-Account-Id: {letter.hex(7)}")


@shape
def help_desk_long_thread(rng: Random, sender: str, to: str) -> bytes:
    """A ticket with forty ids in References, over several kilobytes."""
    letter = Letter.write(rng, sender, to)
    letter.reply = False
    ids = "\r\n ".join(f"<{letter.uuid()}.{rng.randint(1, 10**9)}@helpdesk.tienda.example>" for _ in range(40))
    body = multipart("alternative", f"----=_Part_{letter.hex(20)}", [text(letter.plain(), "UTF-8", "quoted-printable"), text(letter.markup('<div style="font-size:14px">{}</div>'), "UTF-8", "quoted-printable", "text/html")])
    return mail(letter, mixed(body, [attachment(one, "2047") for one in letter.files], letter.hex(30)), f"References: {ids}", f"In-Reply-To: <{letter.hex(20)}@relay.example>", "X-FD-Type: REPLY", "Precedence: normal")


@shape
def japanese(rng: Random, sender: str, to: str) -> bytes:
    """iso-2022-jp in subject, text and file name, 7bit."""
    letter = Letter.write(rng, sender, to, ("ja",))
    letter.name = rng.choice(("山田花子", "鈴木商店"))
    plain = letter.plain().encode("iso-2022-jp", "ignore").decode("iso-2022-jp")
    body = text(plain, rng.choice(("ISO-2022-JP", "iso-2022-jp", '"iso-2022-jp"')), "7bit")
    files = [attachment(File("注文書.pdf", "application/pdf", pdf("invoice")), "2047", charset="ISO-2022-JP")] if letter.files else []
    return mail(letter, mixed(body, files, f"----_{letter.hex(16).upper()}_MULTIPART_MIXED_"), "X-Mailer: Becky! ver. 2.81.04 [ja]", charset="ISO-2022-JP", kind="B")


@shape
def japanese_shift_jis(rng: Random, sender: str, to: str) -> bytes:
    letter = Letter.write(rng, sender, to, ("ja",), files=0)
    plain = letter.plain().encode("shift_jis", "ignore").decode("shift_jis")
    return mail(letter, text(plain, "Shift_JIS", rng.choice(("base64", "8bit"))), charset="Shift_JIS", kind="B")


@shape
def foxmail(rng: Random, sender: str, to: str) -> bytes:
    """Chinese: gb2312 named, gb18030 meant; HTML with its own style block."""
    letter = Letter.write(rng, sender, to, ("zh",))
    boundary = f"----=_{{:03d}}_NextPart{rng.randint(10**11, 10**12)}_=----"
    page = ('<html><head><meta http-equiv="content-type" content="text/html; charset=GB2312"><style>body { line-height: 1.5; }blockquote { margin-top: 0px; margin-left: 0.5em; }body { font-size: 14px; font-family: \'Microsoft YaHei UI\'; color: rgb(0, 0, 0); }</style></head><body>\r\n'
            + letter.markup("<div><span>{}</span></div>") + "</body></html>")
    body = multipart("alternative", boundary.format(2), [text(letter.plain(), '"GB2312"', "base64"), text(page, '"GB2312"', "quoted-printable", "text/html")], preamble="This is a multi-part message in MIME format.\r\n\r\n")
    files = [attachment(File("合同 12.pdf", "application/octet-stream", pdf("scan")), "2047", charset="GB2312")] if letter.files else []
    return mail(letter, mixed(body, files, boundary.format(1), preamble="This is a multi-part message in MIME format.\r\n\r\n"), "X-Priority: 3", "X-Has-Attach: no", "X-Mailer: Foxmail 7.2.25.375[cn]", charset="GB2312", kind="B")


@shape
def qq(rng: Random, sender: str, to: str) -> bytes:
    letter = Letter.write(rng, sender, to, ("zh",))
    boundary = f"----=_NextPart_{letter.hex(8).upper()}_{letter.hex(8).upper()}_{letter.hex(8).upper()}"
    body = multipart("alternative", boundary, [text(letter.plain(), '"gb18030"', "base64"), text(letter.markup("<div>{}</div>"), '"gb18030"', "base64", "text/html")], preamble="This is a multi-part message in MIME format.\r\n\r\n")
    return mail(letter, mixed(body, [attachment(one, "2047", charset="gb18030") for one in letter.files if one.name.encode("gb18030")], boundary[:-1] + "Z"), "X-Priority: 3", "X-QQ-MIME: TCMime 1.0 by Tencent", "X-QQ-Mailer: QQMail 2.x", "X-Mailer: QQMail 2.x", charset="gb18030", kind="B")


@shape
def russian(rng: Random, sender: str, to: str) -> bytes:
    """windows-1251 or koi8-r, in the text, the header and the file name."""
    letter = Letter.write(rng, sender, to, ("ru",))
    letter.name = "Анна Петрова"
    charset = rng.choice(("windows-1251", "koi8-r", "Windows-1251"))
    body = text(letter.plain(), charset, rng.choice(("8bit", "base64", "quoted-printable")))
    files = [attachment(File("Счёт за ноябрь.pdf", "application/pdf", pdf("invoice")), "2047", charset=charset)] if letter.files else []
    return mail(letter, mixed(body, files, f"----------{letter.hex(18).upper()}"), "X-Mailer: The Bat! (v4.0.38) Professional", "X-Priority: 3 (Normal)", charset=charset, kind=rng.choice("QB"))


@shape
def other_charsets(rng: Random, sender: str, to: str) -> bytes:
    """Polish iso-8859-2, Turkish iso-8859-9 or windows-1254, UTF-8 spelt utf8."""
    code, charset = rng.choice((("pl", "iso-8859-2"), ("pl", "windows-1250"), ("tr", "iso-8859-9"), ("tr", "windows-1254"), ("sv", "utf8"), ("es", "latin1"), ("en", "ansi_x3.4-1968"), ("fr", "cp1252")))
    letter = Letter.write(rng, sender, to, (code,))
    return mail(letter, mixed(text(letter.plain(), charset, "quoted-printable"), [attachment(one, "2231") for one in letter.files], letter.hex(20)))


@shape
def names_unquoted(rng: Random, sender: str, to: str) -> bytes:
    """File names with spaces and no quotes, as some shops and scanners write them."""
    letter = Letter.write(rng, sender, to, ("es", "en"), files=0)
    files = [attachment(File("factura enero 2026.pdf", "application/pdf", pdf("invoice")), "bare"), attachment(File("foto de la taza.jpg", "image/jpeg", jpeg(0)), "bare")]
    return mail(letter, mixed(text(letter.plain(), "utf-8", "8bit"), files, letter.hex(24)))


@shape
def names_raw(rng: Random, sender: str, to: str) -> bytes:
    """File names in raw UTF-8."""
    letter = Letter.write(rng, sender, to, files=1)
    return mail(letter, mixed(text(letter.plain(), "utf-8", "quoted-printable"), [attachment(one, "raw") for one in letter.files], letter.hex(24)))


@shape
def names_every_way(rng: Random, sender: str, to: str) -> bytes:
    """Many files, each name in another of the usual ways."""
    letter = Letter.write(rng, sender, to, files=4)
    styles = ("2231", "2231-long", "2047", "both")
    files = [attachment(one, style) for one, style in zip(letter.files, styles, strict=True)]
    return mail(letter, mixed(text(letter.plain(), "utf-8", "8bit"), files, letter.hex(24)))


@shape
def scanner(rng: Random, sender: str, to: str) -> bytes:
    """An office machine that scans to mail."""
    letter = Letter.write(rng, sender, to, ("en", "es"), files=0)
    letter.reply, letter.subject = False, "Scanned from a Xerographic MFP"
    page = rng.choice((File("Scan_20261124_0001.pdf", "application/pdf", pdf("scan")), File("DOC241126.TIF", "image/tiff", tiff(2))))
    body = text("Please open the attached document. It was scanned and sent to you.\r\n\r\nAttachment File Type: pdf, Multi-Page\r\nDevice Location: 2nd floor\r\n", "us-ascii", "7bit")
    return mail(letter, mixed(body, [attachment(page, "2047")], f"--=_MFP_{letter.hex(16)}"), "X-Mailer: MFP", trace=False)


@shape
def empty_body(rng: Random, sender: str, to: str) -> bytes:
    letter = Letter.write(rng, sender, to)
    letter.reply = False
    return mail(letter, mixed(text(rng.choice(("", "\r\n")), "utf-8", "7bit"), [attachment(one, "2231") for one in letter.files], letter.hex(24)))


@shape
def empty_subject(rng: Random, sender: str, to: str) -> bytes:
    letter = Letter.write(rng, sender, to)
    letter.subject = ""
    return mail(letter, mixed(text(letter.plain(), "utf-8", "base64"), [attachment(one, "2231") for one in letter.files], letter.hex(24)))


@shape
def only_a_file(rng: Random, sender: str, to: str) -> bytes:
    """The message is the attachment."""
    letter = Letter.write(rng, sender, to, files=1)
    return mail(letter, attachment(letter.files[0], "2047"))


@shape
def nameless_image(rng: Random, sender: str, to: str) -> bytes:
    """Pictures in the text that have a Content-ID and no name; upper-case Content-Transfer-Encoding; no closing line."""
    letter = Letter.write(rng, sender, to, files=0)
    page = "<html><body>" + letter.markup() + '<img src="cid:part1.06090408@correo.example"></body></html>\r\n'
    photo = Entity(("Content-Type: image/jpeg", "Content-Transfer-Encoding: BASE64", "Content-ID: <part1.06090408@correo.example>", "Content-Disposition: inline"), base64_lines(jpeg(0)))
    body = multipart("related", letter.hex(24), [text(page, "UTF-8", "8bit", "text/html"), photo])
    return mail(letter, Entity(body.fields, body.body.rpartition(b"\r\n--")[0] + b"\r\n"))


@shape
def long_lines(rng: Random, sender: str, to: str) -> bytes:
    """Paragraphs as single raw lines of well over 998 octets, in text and HTML."""
    letter = Letter.write(rng, sender, to)
    letter.paragraphs = [" ".join(letter.paragraphs * (1 + 1500 // len(" ".join(letter.paragraphs))))]
    body = multipart("alternative", letter.hex(24), [text(letter.plain(), "utf-8", "8bit"), text("<html><body>" + letter.markup("<p>{}</p>", newline="") + "</body></html>\r\n", "utf-8", "8bit", "text/html")])
    return mail(letter, mixed(body, [attachment(one, "2231") for one in letter.files], letter.hex(22)))


@shape
def base64_footer(rng: Random, sender: str, to: str) -> bytes:
    """Base64 text in one long line, as small senders make it."""
    letter = Letter.write(rng, sender, to, files=0)
    return mail(letter, Entity(("Content-Type: text/plain; charset=utf-8", "Content-Transfer-Encoding: base64"), base64_lines(letter.plain().encode(), 900)), charset="utf-8", kind="B")


@shape
def tools_and_links(rng: Random, sender: str, to: str) -> bytes:
    """Links, numbers and other people's public addresses in the text; a tracking number, an IBAN, a measure."""
    letter = Letter.write(rng, sender, to)
    letter.paragraphs += ["https://envios.example/seguimiento?n=PK4821X99001234&lang=es#estado", "IBAN ES91 2100 0418 4502 0005 1332 · 3x4 cm · 12/24 @ 19,90 €",
                          "soporte@transportes.example", "*negrita* _cursiva_ `código` #pedido @marta"]
    body = multipart("alternative", letter.hex(24), [text(letter.plain(), "utf-8", "quoted-printable"), text("<html><body>" + letter.markup() + "</body></html>\r\n", "utf-8", "quoted-printable", "text/html")])
    return mail(letter, mixed(body, [attachment(one, "2231") for one in letter.files], letter.hex(22)))
