"""The shapes of mail programs that people use by hand: Outlook, Apple Mail, Gmail, Thunderbird and the like."""

from __future__ import annotations

import html
from collections.abc import Callable
from random import Random

from shape_build import Entity, Letter, attachment, base64_lines, fitting, mixed, multipart, text, words
from shape_files import File, jpeg, pdf, png, tiff

SHAPES: dict[str, Callable[[Random, str, str], bytes]] = {}


def shape(make: Callable[[Random, str, str], bytes]) -> Callable[[Random, str, str], bytes]:
    SHAPES[make.__name__] = make
    return make


def mail(letter: Letter, body: Entity, *fields: str, mime: str = "1.0", host: str = "", charset: str = "UTF-8",
         kind: str = "Q", trace: bool = True) -> bytes:
    """The whole message: what providers put on top, the usual fields, the client's own, the body."""
    host = host or letter.sender.rpartition("@")[2]
    charset = fitting(letter.name + letter.subject, charset)
    received = f"from mail.{host} (mail.{host} [192.0.2.{letter.rng.randint(1, 254)}])\r\n\tby mx.{host} with ESMTPS id {letter.hex(12)}"
    lines = [
        f"Received: {received}\r\n\tfor <x@relay.example>; Tue, 24 Nov 2026 10:15:02 +0100",
        f"DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d={host}; s=s1;\r\n\th=from:to:subject:date; bh={'A' * 43}=;\r\n\tb={letter.hex(60)}",
        "X-Originating-IP: [198.51.100.7]",
    ] if trace else []
    lines += [f"From: {words(letter.name, charset, kind)} <{letter.sender}>", f"To: <{letter.to}>",
              f"Subject: {words(letter.subject, charset, kind)}", f"Date: Tue, {24 if letter.reply else 17:02d} Nov 2026 10:15:00 +0100",
              f"Message-ID: <{letter.hex(24)}@{host}>"]
    if letter.reply:
        ids = [f"<{letter.hex(20)}@relay.example>" for _ in range(letter.rng.randint(1, 4))]
        lines += [f"In-Reply-To: {ids[-1]}", "References: " + "\r\n ".join(ids)]
    lines += [*([f"MIME-Version: {mime}"] if mime else []), *fields, *body.fields]
    return Entity(tuple(lines), body.body).raw()


WORD_HEAD = """<html xmlns:v="urn:schemas-microsoft-com:vml" xmlns:o="urn:schemas-microsoft-com:office:office" xmlns:w="urn:schemas-microsoft-com:office:word" xmlns:m="http://schemas.microsoft.com/office/2004/12/omml" xmlns="http://www.w3.org/TR/REC-html40">\r
<head>\r
<meta http-equiv="Content-Type" content="text/html; charset={charset}">\r
<meta name="Generator" content="Microsoft Word 15 (filtered medium)">\r
<!--[if !mso]><style>v\\:* {{behavior:url(#default#VML);}}\r
o\\:* {{behavior:url(#default#VML);}}\r
.shape {{behavior:url(#default#VML);}}\r
</style><![endif]--><style><!--\r
/* Font Definitions */\r
@font-face\r
\t{{font-family:"Cambria Math";\r
\tpanose-1:2 4 5 3 5 4 6 3 2 4;}}\r
/* Style Definitions */\r
p.MsoNormal, li.MsoNormal, div.MsoNormal\r
\t{{margin:0cm;\r
\tfont-size:11.0pt;\r
\tfont-family:"Calibri",sans-serif;}}\r
a:link, span.MsoHyperlink\r
\t{{mso-style-priority:99;\r
\tcolor:#0563C1;\r
\ttext-decoration:underline;}}\r
@page WordSection1\r
\t{{size:612.0pt 792.0pt;\r
\tmargin:70.85pt 3.0cm 70.85pt 3.0cm;}}\r
div.WordSection1\r
\t{{page:WordSection1;}}\r
--></style><!--[if gte mso 9]><xml>\r
<o:shapedefaults v:ext="edit" spidmax="1026" />\r
</xml><![endif]-->\r
</head>\r
<body lang="ES" link="#0563C1" vlink="#954F72" style="word-wrap:break-word">\r
<div class="WordSection1">\r
"""


def _word(letter: Letter, charset: str, image: str = "") -> str:
    labels = "<br>\r\n".join(f"<b>{html.escape(label)}:</b> {html.escape(value)}" for label, value in letter.labels)
    quote = ("<div><div style=\"border:none;border-top:solid #E1E1E1 1.0pt;padding:3.0pt 0cm 0cm 0cm\"><p class=\"MsoNormal\">"
             f"{labels}<o:p></o:p></p></div></div><p class=\"MsoNormal\"><o:p>&nbsp;</o:p></p><p class=\"MsoNormal\">{{}}</p>")
    picture = ("<p class=\"MsoNormal\"><!--[if gte vml 1]><v:shape id=\"Imagen_x0020_1\" style='width:135pt;height:45pt'><v:imagedata "
               f"src=\"cid:{image}\" o:title=\"logo\"/></v:shape><![endif]--><![if !vml]><img border=0 width=180 height=60 "
               f"style='width:1.875in;height:.625in' id=\"Imagen_x0020_1\" src=\"cid:{image}\" alt=\"logo\"><![endif]><o:p></o:p></p>\r\n") if image else ""
    body = letter.markup('<p class="MsoNormal"><span lang="ES" style="mso-fareast-language:EN-US">{}<o:p></o:p></span></p>', quote)
    return WORD_HEAD.format(charset=charset) + body + picture + '<p class="MsoNormal"><o:p>&nbsp;</o:p></p>\r\n</div>\r\n</body>\r\n</html>\r\n'


def _outlook_plain(letter: Letter) -> str:
    quoted = "".join(f"{label}: {value}\r\n" for label, value in letter.labels) if letter.reply else ""
    return letter.plain(quote=False) + ("\r\n-----Original Message-----\r\n" + quoted + "\r\n" + letter.language.sentences[0] + "\r\n" if quoted else "")


@shape
def outlook_desktop(rng: Random, sender: str, to: str) -> bytes:
    """Over SMTP: mixed(related(alternative(plain, Word's HTML), image001.png), files), Latin-1 where it fits."""
    letter = Letter.write(rng, sender, to, ("es", "en", "de", "fr", "it", "pt", "nl", "sv"))
    boundary = f"----=_NextPart_{{:03d}}_{letter.hex(4).upper()}_01DC5D2A.{letter.hex(8).upper()}"
    cid = f"image001.png@01DC5D2A.{letter.hex(8).upper()}"
    charset = fitting(letter.plain() + letter.markup(), rng.choice(("iso-8859-1", "utf-8", "Windows-1252")))
    inner = multipart("alternative", boundary.format(2), [
        text(_outlook_plain(letter), f'"{charset}"', "quoted-printable", extra=""),
        text(_word(letter, charset, cid), f'"{charset}"', "quoted-printable", "text/html")])
    logo = Entity(('Content-Type: image/png;\r\n\tname="image001.png"', "Content-Transfer-Encoding: base64", f"Content-ID: <{cid}>"),
                  base64_lines(png("logo")))
    related = multipart("related", boundary.format(1), [inner, logo])
    warning = "This is a multipart message in MIME format.\r\n\r\n"
    body = mixed(related, [attachment(one, "2047", charset="utf-8") for one in letter.files], boundary.format(0), preamble=warning)
    return mail(letter, body, "X-Mailer: Microsoft Outlook 16.0", f"Thread-Index: AQ{letter.hex(20)}==", "Content-Language: es",
                charset="iso-8859-1")


@shape
def outlook_exchange(rng: Random, sender: str, to: str) -> bytes:
    """Over Exchange: Content-Description, sizes and dates in Content-Disposition, Content-ID on every file, Thread-Topic."""
    letter = Letter.write(rng, sender, to)
    boundary = f"_{{:03d}}_{letter.hex(30).upper()}eurprd0_"
    cid = f"image001.png@01DC5D2A.{letter.hex(8).upper()}"
    inner = multipart("alternative", boundary.format(0), [
        text(_outlook_plain(letter), '"utf-8"', "base64"),
        text(_word(letter, "utf-8", cid), '"utf-8"', "base64", "text/html", fields=(f"Content-ID: <{letter.hex(32).upper()}@eurprd04.prod.example>",))])
    dates = ';\r\n\tcreation-date="Tue, 24 Nov 2026 09:14:00 GMT";\r\n\tmodification-date="Tue, 24 Nov 2026 09:14:00 GMT"'
    logo = attachment(File("image001.png", "image/png", png("logo")), "2047", "inline", f";\r\n\tsize=477{dates}",
                      fields=("Content-Description: image001.png", f"Content-ID: <{cid}>"))
    related = multipart("related", boundary.format(5), [inner, logo], ';\r\n\ttype="multipart/alternative"')
    files = [attachment(one, "2047", extra=f";\r\n\tsize={len(one.content)}{dates}", charset="utf-8",
                        fields=(f"Content-Description: {words(one.name, 'utf-8', 'B')}", f"Content-ID: <{letter.hex(32).upper()}@eurprd04.prod.example>"))
             for one in letter.files]
    return mail(letter, mixed(related, files, boundary.format(6)), f"Thread-Topic: {words(letter.subject, 'utf-8', 'B')}",
                f"Thread-Index: AQ{letter.hex(20)}==", "Accept-Language: es-ES, en-US", "Content-Language: es-ES",
                "X-MS-Has-Attach: yes", "X-MS-TNEF-Correlator:", "x-ms-exchange-messagesentrepresentingtype: 1", charset="utf-8", kind="B")


@shape
def outlook_web(rng: Random, sender: str, to: str) -> bytes:
    letter = Letter.write(rng, sender, to)
    boundary = f"_{{:03d}}_{letter.hex(30).upper()}_"
    cid = letter.uuid().lower()
    block = '<div class="elementToProof" style="font-family: Aptos, Calibri, Helvetica, sans-serif; font-size: 12pt; color: rgb(0, 0, 0);">{}</div>'
    quote = ('<div id="appendonsend"></div><hr style="display:inline-block;width:98%" tabindex="-1"><div id="divRplyFwdMsg" dir="ltr">'
             '<font face="Calibri, sans-serif" style="font-size:11pt" color="#000000">{}</font><div>&nbsp;</div></div>')
    picture = (f'<div class="elementToProof"><img data-outlook-trace="F:1|T:1" src="cid:{cid}" style="max-width: 100%;" width="180" height="60" size="477"></div>'
               if rng.random() < 0.5 else "")
    page = ('<html>\r\n<head>\r\n<meta http-equiv="Content-Type" content="text/html; charset=iso-8859-1">\r\n<style type="text/css" style="display:none;"> '
            'P {margin-top:0;margin-bottom:0;} </style>\r\n</head>\r\n<body dir="ltr">\r\n' + letter.markup(block, quote) + picture + "</body>\r\n</html>\r\n")
    page = page.encode("ascii", "xmlcharrefreplace").decode()
    inner = multipart("alternative", boundary.format(0), [text(letter.plain(), '"iso-8859-1"' if letter.plain().isascii() else '"utf-8"', "quoted-printable"),
                                                          text(page, '"iso-8859-1"', "quoted-printable", "text/html")])
    if picture:
        logo = attachment(File(f"Outlook-{letter.hex(8)}.png", "image/png", png("logo")), "2047", "inline", fields=(f"Content-ID: <{cid}>",))
        inner = multipart("related", boundary.format(5), [inner, logo], ';\r\n\ttype="multipart/alternative"')
    return mail(letter, mixed(inner, [attachment(one, "2231-long", charset="utf-8") for one in letter.files], boundary.format(4)),
                "Accept-Language: es-ES, en-US", "msip_labels: ", charset="iso-8859-1")


@shape
def outlook_mobile(rng: Random, sender: str, to: str) -> bytes:
    letter = Letter.write(rng, sender, to)
    boundary = f"_{{:03d}}_{letter.hex(30).upper()}_"
    page = ('<html><head><meta http-equiv="Content-Type" content="text/html; charset=utf-8"></head><body>'
            + letter.markup('<div dir="auto">{}</div>', '<div id="mail-editor-reference-message-container">{}</div>', newline="")
            + '<div id="ms-outlook-mobile-signature">Obtener <a href="https://aka.example/o0ukef">Outlook para iOS</a></div></body></html>\r\n')
    inner = multipart("alternative", boundary.format(0), [text(letter.plain(), '"utf-8"', "base64"), text(page, '"utf-8"', "base64", "text/html")])
    return mail(letter, mixed(inner, [attachment(one, "2047", charset="utf-8") for one in letter.files], boundary.format(4)), charset="utf-8", kind="B")


@shape
def outlook_express(rng: Random, sender: str, to: str) -> bytes:
    """Old and still about: Latin-1 quoted-printable, image/pjpeg."""
    letter = Letter.write(rng, sender, to, ("es", "de", "fr", "pt", "sv"), files=0)
    latin = fitting(letter.plain(), "iso-8859-1", "windows-1252")
    boundary = f"----=_NextPart_000_{letter.hex(4).upper()}_01DC5D2A.{letter.hex(8).upper()}"
    page = ('<!DOCTYPE HTML PUBLIC "-//W3C//DTD HTML 4.0 Transitional//EN">\r\n<HTML><HEAD>\r\n<META http-equiv=Content-Type content="text/html; charset=' + latin + '">\r\n'
            '<META content="MSHTML 6.00.2900.5969" name=GENERATOR>\r\n<STYLE></STYLE>\r\n</HEAD>\r\n<BODY bgColor=#ffffff>\r\n'
            + letter.markup("<DIV><FONT face=Arial size=2>{}</FONT></DIV>", '<BLOCKQUOTE style="PADDING-RIGHT: 0px; BORDER-LEFT: #000000 2px solid">{}</BLOCKQUOTE>') + "</BODY></HTML>\r\n")
    inner = multipart("alternative", boundary, [text(letter.plain(), latin, "quoted-printable"), text(page, latin, "quoted-printable", "text/html")])
    photo = attachment(File("DSC00012.JPG", "image/pjpeg", jpeg(1)), "2047")
    return mail(letter, mixed(inner, [photo] if rng.random() < 0.5 else [], boundary.replace("_000_", "_001_"), preamble="This is a multi-part message in MIME format.\r\n\r\n"),
                "X-Priority: 3", "X-MSMail-Priority: Normal", "X-Mailer: Microsoft Windows Live Mail 16.4.3528.331", charset="iso-8859-1")


def _apple_page(body: str) -> str:
    return ('<html><head><meta http-equiv="content-type" content="text/html; charset=utf-8"></head><body style="overflow-wrap: break-word; '
            f'-webkit-nbsp-mode: space; line-break: after-white-space;">{body}</body></html>')


@shape
def apple_mail_mac(rng: Random, sender: str, to: str) -> bytes:
    """alternative(plain, mixed(html, file inline, html)); names NFD and raw 2231; x-unix-mode."""
    letter = Letter.write(rng, sender, to)
    boundary = f"Apple-Mail=_{letter.uuid()}"
    quote = '<div><br><blockquote type="cite"><div>{}</div></blockquote></div><br>'
    page = _apple_page(letter.markup("<div>{}</div><div><br></div>", quote, newline=""))
    html_part = text(page + "\r\n", "utf-8", "quoted-printable", "text/html")
    files = [attachment(one, "2231-long", "inline", extra="", charset="utf-8") for one in letter.files]
    files = [Entity((one.fields[0] + ";\r\n\tx-unix-mode=0644", *one.fields[1:]), one.body) for one in files]
    tail = text(_apple_page("<div></div>"), "us-ascii", "7bit", "text/html")
    rich = multipart("mixed", f"Apple-Mail=_{letter.uuid()}", [html_part, *files, tail]) if files else html_part
    plain = text(letter.plain(), "utf-8" if not letter.plain().isascii() else "us-ascii", "quoted-printable")
    return mail(letter, multipart("alternative", boundary, [plain, rich], preamble="\r\n"), "X-Mailer: Apple Mail (2.3826.200.121)",
                mime="1.0 (Mac OS X Mail 16.0 \\(3826.200.121\\))", charset="utf-8")


@shape
def apple_mail_related(rng: Random, sender: str, to: str) -> bytes:
    """A picture in the text and a PDF in line, as the Mac sends them."""
    letter = Letter.write(rng, sender, to, files=0)
    cid = f"{letter.uuid()}@fritz.box"
    page = _apple_page(letter.markup("<div>{}</div>", newline="") + f'<div><img apple-inline="yes" id="{letter.uuid()}" src="cid:{cid}"></div>')
    pasted = (File("PastedGraphic-1.png", "image/png", png("screen")), File("PastedGraphic-1.tiff", "image/tiff", tiff(1)))
    photo = attachment(rng.choice(pasted), "2231", "inline", fields=(f"Content-Id: <{cid}>",))
    bill = attachment(File("Presupuesto año 2026.pdf", "application/pdf", pdf("invoice")), "2231", "inline", charset="utf-8")
    related = multipart("related", f"Apple-Mail=_{letter.uuid()}", [text(page, "utf-8", "quoted-printable", "text/html"), photo, bill], ';\r\n\ttype="text/html"')
    return mail(letter, multipart("alternative", f"Apple-Mail=_{letter.uuid()}", [text(letter.plain(), "utf-8", "quoted-printable"), related], preamble="\r\n"),
                "X-Mailer: Apple Mail (2.3826.200.121)", mime="1.0 (Mac OS X Mail 16.0 \\(3826.200.121\\))", charset="utf-8")


@shape
def apple_ios(rng: Random, sender: str, to: str) -> bytes:
    letter = Letter.write(rng, sender, to, files=rng.choice((0, 0, 1)))
    boundary = f"Apple-Mail-{letter.uuid()}"
    plain = text(letter.plain(mobile=True), "utf-8", "quoted-printable")
    page = text(_apple_page(letter.markup('<div dir="ltr">{}</div>', '<br><blockquote type="cite">{}</blockquote>', mobile=True, newline="")), "utf-8", "quoted-printable", "text/html")
    photo = attachment(File("image0.jpeg", "image/jpeg", jpeg(rng.randrange(3))), "2231", "inline", f";\r\n\tx-apple-part-url={letter.uuid()}")
    body = multipart("alternative", boundary, [plain, page])
    if letter.files:
        body = multipart("mixed", boundary, [text(letter.plain(mobile=True), "utf-8", "quoted-printable"), photo, text("\r\n", "us-ascii", "7bit")])
    return mail(letter, body, f"X-Mailer: iPhone Mail ({letter.hex(4).upper()})", mime="1.0 (1.0)", charset="utf-8")


@shape
def apple_ios_photos(rng: Random, sender: str, to: str) -> bytes:
    """Nothing but photographs, without a word."""
    letter = Letter.write(rng, sender, to, files=0)
    photos = [attachment(File(f"IMG_{rng.randint(1, 9999):04d}.jpg", "image/jpeg", jpeg(index)), "2231", "inline") for index in range(2)]
    blank = text("\r\n\r\n" + letter.language.mobile + "\r\n", "utf-8", "8bit")
    return mail(letter, multipart("mixed", f"Apple-Mail-{letter.uuid()}", [photos[0], text("\r\n", "us-ascii", "7bit"), photos[1], blank]), "X-Mailer: iPhone Mail (22B91)", mime="1.0 (1.0)", charset="utf-8")


@shape
def gmail_web(rng: Random, sender: str, to: str) -> bytes:
    """mixed(related(alternative, ii_…), f_…) with X-Attachment-Id; UTF-8; quoted-printable where it must."""
    letter = Letter.write(rng, sender, to)
    boundary = "000000000000" + letter.hex(16)
    quote = ('<br><div class="gmail_quote gmail_quote_container"><div dir="ltr" class="gmail_attr">{}<br></div><blockquote class="gmail_quote" '
             'style="margin:0px 0px 0px 0.8ex;border-left:1px solid rgb(204,204,204);padding-left:1ex"></blockquote></div>')
    cid = f"ii_{letter.hex(9)}"
    picture = f'<div><img src="cid:{cid}" alt="logo.png" width="180" height="60"><br></div>' if rng.random() < 0.4 else ""
    page = f'<div dir="ltr">{letter.markup("<div>{}</div>", quote, newline="")}{picture}</div>\r\n'
    plain = letter.plain() + ("[image: logo.png]\r\n" if picture else "")
    body = multipart("alternative", boundary, [text(plain, '"UTF-8"', "" if plain.isascii() else "quoted-printable" if rng.random() < 0.6 else "base64"),
                                               text(page, '"UTF-8"', "quoted-printable", "text/html")])
    if picture:
        logo = attachment(File("logo.png", "image/png", png("logo")), "2047", "inline", fields=(f"Content-ID: <{cid}>", f"X-Attachment-Id: {cid}"))
        body = multipart("related", letter.hex(28), [body, logo])
    marks = [f"f_{letter.hex(9)}" for _ in letter.files]
    files = [attachment(one, "2047", fields=(f"Content-ID: <{mark}>", f"X-Attachment-Id: {mark}")) for one, mark in zip(letter.files, marks, strict=True)]
    return mail(letter, mixed(body, files, letter.hex(28)), f"X-Google-DKIM-Signature: v=1; d=1e100.example; b={letter.hex(40)}", f"X-Gm-Message-State: {letter.hex(40)}",
                "X-Received: by 2002:a05:6402:1; Tue, 24 Nov 2026 01:15:00 -0800 (PST)", host="mail.gmail.example", charset="UTF-8", kind=rng.choice("QB"))


@shape
def gmail_android(rng: Random, sender: str, to: str) -> bytes:
    letter = Letter.write(rng, sender, to)
    boundary = "000000000000" + letter.hex(16)
    page = letter.markup('<p dir="ltr">{}</p>', '<br><div class="gmail_quote"><div dir="ltr" class="gmail_attr">{}</div></div>')
    body = multipart("alternative", boundary, [text(letter.plain(), '"UTF-8"', "base64"), text(f'<div dir="auto">{page}</div>', '"UTF-8"', "base64", "text/html")])
    files = [attachment(one, "2047", fields=(f"Content-ID: <{letter.hex(11)}>", f"X-Attachment-Id: {letter.hex(11)}")) for one in letter.files]
    return mail(letter, mixed(body, files, letter.hex(28)), host="mail.gmail.example", kind="B")


@shape
def gmail_flowed(rng: Random, sender: str, to: str) -> bytes:
    """Plain text in Japanese or Chinese with format=flowed; delsp=yes: lines are broken inside words."""
    letter = Letter.write(rng, sender, to, ("ja", "zh"), files=0)
    lines = [" \r\n".join(line[at : at + 34] for at in range(0, len(line), 34)) or "" for line in letter.plain().split("\r\n")]
    return mail(letter, text("\r\n".join(lines), "UTF-8", "base64", extra="; format=flowed; delsp=yes"), host="mail.gmail.example", kind="B")


@shape
def thunderbird(rng: Random, sender: str, to: str) -> bytes:
    letter = Letter.write(rng, sender, to)
    boundary = f"------------{letter.hex(24)}"
    quote = '<div class="moz-cite-prefix">{}</div><blockquote type="cite" cite="mid:' + letter.hex(10) + '@relay.example"></blockquote>'
    page = ('<!DOCTYPE html>\r\n<html>\r\n  <head>\r\n    <meta http-equiv="content-type" content="text/html; charset=UTF-8">\r\n  </head>\r\n  <body text="#000000" bgcolor="#FFFFFF">\r\n'
            + letter.markup("    <p>{}</p>", quote) + '    <div class="moz-signature">-- <br>\r\n      enviado a mano</div>\r\n  </body>\r\n</html>\r\n')
    body = multipart("alternative", boundary, [text(letter.plain(), "UTF-8", "8bit", extra="; format=flowed"), text(page, "UTF-8", "8bit", "text/html")])
    files = [attachment(one, "2231", charset="UTF-8") for one in letter.files]
    return mail(letter, mixed(body, files, boundary[:-2] + "xx", preamble="This is a multi-part message in MIME format.\r\n"), "User-Agent: Mozilla Thunderbird", "Content-Language: es-ES", "X-Mozilla-Draft-Info: internal/draft; vcard=0; receipt=0")


@shape
def thunderbird_plain(rng: Random, sender: str, to: str) -> bytes:
    """format=flowed with space-stuffing and trailing spaces; a read receipt asked for; a charset of the region."""
    letter = Letter.write(rng, sender, to, ("es", "en", "de", "fr", "nl", "it"))
    flowed = letter.plain().replace(", ", ", \r\n")
    body = text(flowed, fitting(flowed, rng.choice(("UTF-8", "iso-8859-15", "windows-1252"))), "8bit", extra="; format=flowed")
    return mail(letter, mixed(body, [attachment(one, "both") for one in letter.files], f"------------{letter.hex(24)}", preamble="This is a multi-part message in MIME format.\r\n"),
                f"Disposition-Notification-To: {sender}", "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Thunderbird/128.4.0")


@shape
def yahoo(rng: Random, sender: str, to: str) -> bytes:
    letter = Letter.write(rng, sender, to)
    boundary = f"----=_Part_{rng.randint(1, 9_999_999)}_{rng.randint(1, 10**9)}.17639{rng.randint(10**8, 10**9)}"
    page = ('<html><head></head><body><div class="ydp1a2b3cyahoo-style-wrap" style="font-family:Helvetica Neue, Helvetica, Arial, sans-serif;font-size:13px;">'
            + letter.markup('<div dir="ltr" data-setdir="false">{}</div>', '<div id="yahoo_quoted_1" class="yahoo_quoted"><div style="color:#26282a;">{}</div></div>', newline="") + "</div></body></html>")
    body = multipart("alternative", boundary, [text(letter.plain(), "UTF-8", "quoted-printable"), text(page, "UTF-8", "quoted-printable", "text/html")])
    files = [attachment(one, "2047", fields=(f"Content-ID: <{letter.uuid().lower()}@yahoo.example>",)) for one in letter.files]
    return mail(letter, mixed(body, files, boundary + "1"), "X-Mailer: WebService/1.1.24737 YMailNorrin", *(() if letter.reply else (f"References: <{letter.hex(20)}.ref@mail.yahoo.example>",)), host="mail.yahoo.example")


@shape
def samsung(rng: Random, sender: str, to: str) -> bytes:
    letter = Letter.write(rng, sender, to)
    boundary = f"--_com.samsung.android.email_{rng.randint(10**14, 10**15)}"
    page = ('<html><head><meta http-equiv="Content-Type" content="text/html; charset=UTF-8"></head><body dir="auto">' + letter.markup('<div dir="auto">{}</div>', newline="")
            + '<div id="composer_signature" dir="auto"><div style="font-size:12px;color:#575757" dir="auto">Enviado desde mi Galaxy</div></div></body></html>')
    body = multipart("alternative", boundary + "0", [text(letter.plain(), "utf-8", "base64"), text(page, "utf-8", "base64", "text/html")])
    return mail(letter, mixed(body, [attachment(one, "2047", charset="utf-8") for one in letter.files], boundary + "1"), "Importance: normal", charset="utf-8", kind="B")


@shape
def k9(rng: Random, sender: str, to: str) -> bytes:
    letter = Letter.write(rng, sender, to)
    boundary = "----" + letter.hex(28).upper()
    page = ('<!DOCTYPE html><html><body>' + letter.markup('<div dir="auto">{}</div>', '<br><div class="gmail_quote"><div dir="auto">{}</div></div>') + "</body></html>")
    body = multipart("alternative", boundary, [text(letter.plain(), "utf-8", "quoted-printable"), text(page, "utf-8", "quoted-printable", "text/html")])
    return mail(letter, mixed(body, [attachment(one, "2231", extra=f";\r\n size={len(one.content)}") for one in letter.files], boundary + "M"), "User-Agent: K-9 Mail for Android", f"Autocrypt: addr={sender}; keydata={letter.hex(60)}")


@shape
def mutt(rng: Random, sender: str, to: str) -> bytes:
    letter = Letter.write(rng, sender, to)
    charset = fitting(letter.plain(), rng.choice(("us-ascii", "iso-8859-1", "utf-8")))
    body = text(letter.plain(), charset, "8bit", fields=("Content-Disposition: inline",))
    return mail(letter, mixed(body, [attachment(one, "2231") for one in letter.files], letter.hex(16)), "User-Agent: Mutt/2.2.12 (2023-09-09)", charset=charset)


@shape
def alpine(rng: Random, sender: str, to: str) -> bytes:
    letter = Letter.write(rng, sender, to)
    body = text(letter.plain(), "utf-8", "8bit", extra="; format=flowed")
    files = [attachment(one, "2231-long", fields=(f"Content-ID: <alpine.DEB.{letter.hex(8)}@localhost>", "Content-Description: ")) for one in letter.files]
    return mail(letter, mixed(body, files, f"8323329-{rng.randint(10**8, 10**9)}-1763974500=:{rng.randint(1000, 9999)}", preamble="  This message is in MIME format.  The first part should be readable text,\r\n  while the remaining parts are likely unreadable without MIME-aware tools.\r\n\r\n"),
                "User-Agent: Alpine 2.26 (DEB 649 2022-06-02)")


@shape
def roundcube(rng: Random, sender: str, to: str) -> bytes:
    letter = Letter.write(rng, sender, to)
    page = ('<html><head><meta http-equiv="Content-Type" content="text/html; charset=UTF-8" /></head><body style=\'font-size: 10pt; font-family: Verdana,Geneva,sans-serif\'>\r\n'
            + letter.markup("<p>{}</p>", '<p id="reply-intro">{}</p><blockquote type="cite" style="padding: 0 0.4em; border-left: #1010ff 2px solid; margin: 0"></blockquote>') + "</body></html>\r\n")
    plain = text(letter.plain(), "UTF-8", "8bit", extra=";\r\n format=flowed")
    body = multipart("alternative", f"=_{letter.hex(32)}", [plain, text(page, "UTF-8", "quoted-printable", "text/html")]) if rng.random() < 0.7 else plain
    return mail(letter, mixed(body, [attachment(one, "both", extra=f";\r\n size={len(one.content)}") for one in letter.files], f"=_{letter.hex(32)}"), f"Reply-To: {sender}", f"X-Sender: {sender}", "User-Agent: Roundcube Webmail/1.6.5")


@shape
def gmx(rng: Random, sender: str, to: str) -> bytes:
    """HTML alone, as some web mailers send it."""
    letter = Letter.write(rng, sender, to, ("de",))
    page = f'<html><head></head><body><div style="font-family: Verdana;font-size: 12.0px;">{letter.markup("<div>{}</div>")}</div></body></html>\r\n'
    return mail(letter, mixed(text(page, "UTF-8", "quoted-printable", "text/html"), [attachment(one, "2047") for one in letter.files], f"kenitram-{letter.uuid().lower()}"), "Sensitivity: Normal", "X-Priority: 3", "X-Provags-ID: V03:K1:" + letter.hex(40))


@shape
def evolution(rng: Random, sender: str, to: str) -> bytes:
    letter = Letter.write(rng, sender, to)
    page = ('<html><head><style>pre,code,address {\r\n  margin: 0px;\r\n}\r\nol,ul {\r\n  margin-top: 0px;\r\n}\r\nblockquote {\r\n  margin-top: 0px;\r\n}\r\n</style></head><body>' + letter.markup("<div>{}</div>") + "<div><span></span></div></body></html>\r\n")
    body = multipart("alternative", f"=-{letter.hex(20)}", [text(letter.plain(), '"UTF-8"', "quoted-printable"), text(page, '"utf-8"', "quoted-printable", "text/html")])
    return mail(letter, mixed(body, [attachment(one, "2231") for one in letter.files], f"=-{letter.hex(20)}"), "User-Agent: Evolution 3.46.4-2", "X-Evolution-Source: 1")


@shape
def proton(rng: Random, sender: str, to: str) -> bytes:
    letter = Letter.write(rng, sender, to)
    page = f'<div style="font-family: Arial, sans-serif; font-size: 14px;">{letter.markup("<div>{}</div>", newline="")}</div><div class="protonmail_signature_block"></div>'
    body = multipart("alternative", f"b2=_{letter.hex(40)}", [text(letter.plain(), "utf-8", "base64"), text(page, "utf-8", "base64", "text/html")], preamble="This is a multi-part message in MIME format.\r\n\r\n")
    return mail(letter, mixed(body, [attachment(one, "2047", charset="utf-8") for one in letter.files], f"b1=_{letter.hex(40)}", preamble="This is a multi-part message in MIME format.\r\n\r\n"), f"Feedback-ID: {rng.randint(1, 10**8)}:user:proton", f"X-Pm-Message-ID: {letter.hex(40)}", charset="utf-8")
