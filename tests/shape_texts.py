"""What invented people write to each other, in twelve languages, and how clients announce a quoted message."""

from __future__ import annotations

from typing import NamedTuple


class Language(NamedTuple):
    """One language's material; `{name}`, `{when}` and `{alias}` in an attribution are filled in."""

    subjects: tuple[str, ...]
    greeting: str
    sentences: tuple[str, ...]
    closing: str
    attribution: str
    labels: tuple[str, str, str, str]
    """How Outlook heads a quoted message: From, Sent, To, Subject."""
    mobile: str
    answer: str
    """The prefix that a localised client puts before the subject of a reply."""


LANGUAGES = {
    "es": Language(
        ("Pedido 111-2222222-3333333", "Duda sobre el tamaño de la camiseta", "¿Cuándo llega el paquete?", "Factura"),
        "Buenos días:",
        ("El paquete llegó ayer, pero una de las tazas está rota; adjunto una foto.", "¿Podrían enviarme la factura con el NIF 12345678Z?",
         "Mi teléfono es el 600 123 456, por si el repartidor no encuentra el portal.", "Cuesta 24,90 € con envío incluido, ¿verdad?",
         "Hace sol y la tienda abre de 9:00 a 20:30."),
        "Un saludo,", "El {when}, {name} (<{alias}>) escribió:", ("De", "Enviado", "Para", "Asunto"), "Enviado desde mi iPhone", "RE: "),
    "en": Language(
        ("Order 111-2222222-3333333", "Question about the kettle", "Where is my parcel?", "Invoice for November"),
        "Hello,",
        ("The parcel arrived yesterday, but the lid doesn't fit; I've attached a photo.", "Could you send it to 4 Elm Road, Flat 2B instead?",
         "I'm at home between 9am and 1pm, and my number is +44 20 7946 0123.", "It's £18.50 including delivery, isn't it?",
         "See https://www.tienda.example/help/returns?order=111-2222222-3333333&lang=en for the form."),
        "Best regards,", "On {when}, {name} <{alias}> wrote:", ("From", "Sent", "To", "Subject"), "Sent from my Galaxy", "Re: "),
    "de": Language(
        ("Bestellung 111-2222222-3333333", "Größe der Schuhe", "Rückfrage zur Lieferung", "Rechnung"),
        "Guten Tag,",
        ("die Lieferung ist gestern angekommen, leider fehlt das Netzteil.", "Könnten Sie mir die Rechnung über 49,90 € schicken?",
         "Tagsüber erreichen Sie mich unter 030 1234567.", "Die Maße sind 20 × 30 × 15 cm, das müsste in die Packstation passen."),
        "Mit freundlichen Grüßen", "Am {when} schrieb {name} <{alias}>:", ("Von", "Gesendet", "An", "Betreff"), "Von meinem iPhone gesendet", "AW: "),
    "fr": Language(
        ("Commande 111-2222222-3333333", "Question sur la taille", "Où est mon colis ?", "Facture"),
        "Bonjour,",
        ("Le colis est arrivé hier, mais il manque la notice.", "Pourriez-vous m’envoyer la facture au format PDF ?",
         "Vous pouvez me joindre au 01 99 00 12 34 l’après-midi.", "C’est bien 12,50 € port compris ?"),
        "Cordialement,", "Le {when}, {name} <{alias}> a écrit :", ("De", "Envoyé", "À", "Objet"), "Envoyé de mon iPhone", "TR: "),
    "it": Language(
        ("Ordine 111-2222222-3333333", "Domanda sulla taglia", "Quando arriva il pacco?", "Fattura"),
        "Buongiorno,",
        ("Il pacco è arrivato ieri, ma la scatola è rovinata: allego una foto.", "Potreste mandarmi la fattura entro venerdì?",
         "Il mio numero è 02 5550 1234.", "Sono 31,00 € spedizione compresa, giusto?"),
        "Cordiali saluti,", "Il {when} {name} <{alias}> ha scritto:", ("Da", "Inviato", "A", "Oggetto"), "Inviato da iPhone", "R: "),
    "pt": Language(
        ("Encomenda 111-2222222-3333333", "Dúvida sobre a cor", "Onde está a encomenda?", "Fatura"),
        "Bom dia,",
        ("A encomenda chegou ontem, mas falta uma peça.", "Podem enviar a fatura com o NIF 123456789?",
         "O meu telefone é 21 555 01 23.", "São 15,99 € com portes, não é?"),
        "Obrigada,", "{name} <{alias}> escreveu no dia {when}:", ("De", "Enviado", "Para", "Assunto"), "Enviado do meu iPhone", "RES: "),
    "nl": Language(
        ("Bestelling 111-2222222-3333333", "Vraag over de maat", "Waar blijft mijn pakket?", "Factuur"),
        "Goedendag,",
        ("Het pakket is gisteren bezorgd, maar één kopje is stuk.", "Kunt u mij de factuur sturen?",
         "U kunt mij bereiken op 020 555 0123.", "Het kost € 22,50 inclusief verzending, toch?"),
        "Met vriendelijke groet,", "Op {when} schreef {name} <{alias}>:", ("Van", "Verzonden", "Aan", "Onderwerp"), "Verstuurd vanaf mijn iPhone", "Antw: "),
    "pl": Language(
        ("Zamówienie 111-2222222-3333333", "Pytanie o rozmiar", "Gdzie jest moja paczka?", "Faktura"),
        "Dzień dobry,",
        ("Paczka dotarła wczoraj, ale brakuje jednej części.", "Czy mogę prosić o fakturę na firmę?",
         "Mój telefon to 22 555 01 23, proszę dzwonić po południu.", "To 89,00 zł z wysyłką, prawda?"),
        "Pozdrawiam serdecznie", "W dniu {when} {name} <{alias}> napisał(a):", ("Od", "Wysłano", "Do", "Temat"), "Wysłane z iPhone'a", "ODP: "),
    "sv": Language(
        ("Beställning 111-2222222-3333333", "Fråga om storleken", "Var är mitt paket?", "Faktura"),
        "Hej!",
        ("Paketet kom i går, men en av muggarna är trasig.", "Kan ni skicka fakturan till mig?",
         "Jag nås på 08-555 01 23.", "Det blir 249 kr med frakt, eller hur?"),
        "Vänliga hälsningar", "Den {when} skrev {name} <{alias}>:", ("Från", "Skickat", "Till", "Ämne"), "Skickat från min iPhone", "SV: "),
    "tr": Language(
        ("Sipariş 111-2222222-3333333", "Beden hakkında soru", "Kargom nerede?", "Fatura"),
        "Merhaba,",
        ("Paket dün geldi ama kapağı kırık; fotoğrafı ekte.", "Faturayı gönderebilir misiniz?",
         "Telefonum 0212 555 01 23.", "Kargo dâhil 149,90 ₺ değil mi?"),
        "Saygılarımla", "{name} <{alias}>, {when} tarihinde şunu yazdı:", ("Kimden", "Gönderildi", "Kime", "Konu"), "iPhone'umdan gönderildi", "YNT: "),
    "ja": Language(
        ("ご注文 111-2222222-3333333 について", "サイズの件", "荷物はいつ届きますか", "請求書"),
        "お世話になっております。",
        ("昨日荷物が届きましたが、箱が破損していました。", "写真を添付いたしますので、ご確認ください。",
         "電話番号は03-5555-0123です。", "送料込みで2,980円で間違いないでしょうか。"),
        "よろしくお願いいたします。", "{when} {name} <{alias}>:", ("差出人", "送信日時", "宛先", "件名"), "iPhoneから送信", "Re: "),
    "zh": Language(
        ("订单 111-2222222-3333333", "关于尺码的问题", "包裹什么时候到", "发票"),
        "您好：",
        ("包裹昨天收到了，但是杯子碎了一个，照片见附件。", "请把发票发给我，谢谢。",
         "我的电话是010-5555-0123。", "含运费一共199元，对吗？"),
        "祝好", "{name} <{alias}> 于{when}写道：", ("发件人", "发送时间", "收件人", "主题"), "发自我的iPhone", "回复: "),
}

RUSSIAN = Language(
    ("Заказ 111-2222222-3333333", "Вопрос о размере", "Где моя посылка?", "Счёт"),
    "Добрый день!",
    ("Посылка пришла вчера, но одна чашка разбита, фото прилагаю.", "Пришлите, пожалуйста, счёт.",
     "Мой телефон: +7 495 555-01-23.", "С доставкой 1990 рублей, верно?"),
    "С уважением,", "{when} {name} <{alias}> написал:", ("От", "Отправлено", "Кому", "Тема"), "Отправлено с iPhone", "HA: ")

EMOJI = ("😀", "👍🏽", "🎁", "❤️", "👨‍👩‍👧", "🇪🇸")
SIGNATURES = ("Ana López\nCalle Mayor 5, 28013 Madrid\nTel. +34 600 123 456\nhttps://www.correo.example/ana",
              "Marta Ruiz | Atención al cliente\nwww.tienda.example | Lun-Vie 9-18 h",
              "J. P. Müller\nMüller & Söhne GmbH, Hauptstraße 1, 10115 Berlin\nHRB 12345, USt-IdNr. DE123456789")
