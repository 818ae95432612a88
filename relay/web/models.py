"""What goes in and out, for validation and the OpenAPI document. Names are those of the command line's --json."""

from __future__ import annotations

import unicodedata
from datetime import datetime
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from relay.ledger.registry import BLOCK_KINDS, MAX_ID_CHARS, MAX_NAME_CHARS

T = TypeVar("T")


def _one_line(text: str) -> str:
    if any(unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") for char in text):
        raise ValueError("one line without control characters is needed")
    return text


def _written(text: str) -> str:
    if any(unicodedata.category(char) in ("Cc", "Cs") and char not in "\r\n\t" for char in text):
        raise ValueError("text without control characters is needed")
    return text


PartyId = Annotated[str, Field(min_length=1, max_length=MAX_ID_CHARS), AfterValidator(_one_line)]
OrderNumber = Annotated[str, Field(min_length=1, max_length=128), AfterValidator(_one_line)]
Line = Annotated[str, AfterValidator(_one_line)]
EmailAddress = Annotated[str, Field(min_length=3, max_length=320, examples=["ana@correo.example"],
                                     json_schema_extra={"format": "email"})]
Language = Annotated[str, Field(pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$", max_length=35, examples=["es"])]
SideName = Literal["seller", "buyer"]


class Strict(BaseModel):
    """A body: a name that is not known is a mistake, not to be passed over."""

    model_config = ConfigDict(extra="forbid")


class NewPartyBody(Strict):
    id: PartyId
    address: EmailAddress | None = Field(None, description="Needed for a party that is not known yet.")
    name: Annotated[Line, Field(max_length=MAX_NAME_CHARS)] | None = None
    language: Language | None = None


class CorrespondenceBody(Strict):
    seller: NewPartyBody
    buyer: NewPartyBody


class OrderBody(CorrespondenceBody):
    order: OrderNumber


class PartyOut(BaseModel):
    id: str
    alias: str | None = Field(description="What the *other* side writes to; null once its key was retired.")


class OrderOut(BaseModel):
    order: str | None
    seller: PartyOut
    buyer: PartyOut
    created_at: datetime
    closed_at: datetime | None


class Page(BaseModel, Generic[T]):
    """Some of a list, newest first; `next` is the cursor of what follows, null at the end."""

    items: list[T]
    next: str | None


class PartyView(BaseModel):
    side: SideName
    id: str
    name: str | None
    language: str
    created_at: datetime
    addresses: list[AddressOut]


class AddressOut(BaseModel):
    """By state only: real addresses are not shown."""

    state: Literal["authorised", "blocked", "removed"]
    registered: bool


class AddressBody(Strict):
    address: EmailAddress
    state: Literal["authorised", "blocked", "removed"]


class ErasedOut(BaseModel):
    party: str
    messages: int = Field(description="Of how many messages nothing can be read any more.")
    addresses: int


class PurgedOut(BaseModel):
    contents: int = Field(description="Of how many messages the content was destroyed.")
    messages: int = Field(description="Of how many all that could be read was.")
    more: bool = Field(description="There is more: ask again.")


class BlockBody(Strict):
    scope: Literal["relay", "buyer", "seller"]
    kind: Literal["unsolicited", "counterpart", "party", "address", "domain", "network"]
    party: Annotated[Line, Field(min_length=1, max_length=MAX_ID_CHARS + len("seller:"))] | None = Field(
        None, description="Whose wish it is, where scope is buyer or seller; with kind party \"seller:ID\" or "
                          "\"buyer:ID\": who is blocked by the marketplace.")
    value: Annotated[Line, Field(min_length=1, max_length=320)] | None = Field(
        None, description="The counterpart's id, an address, a domain or a network; "
                          "null with kind unsolicited means from every seller.")
    reason: Annotated[Line, Field(max_length=500)] = ""


class BlockOut(BaseModel):
    id: str
    scope: str
    kind: str
    party: str | None
    value: str | None
    reason: str | None
    created_at: datetime


class MessageOut(BaseModel):
    """As `tradepost messages --json`."""

    id: str
    trace: str
    order: str | None
    seller: str
    buyer: str
    direction: Literal["to-buyer", "to-seller"]
    channel: Literal["mail", "page"]
    subject: str | None
    received_at: datetime
    dated_at: datetime | None
    provider_delay_s: float | None
    size: int
    attachments: int
    state: Literal["queued", "deferred", "delivered", "failed", "refused", "held", "auto", "self"]
    rule: str | None
    reply: str | None
    needs_reply: bool
    reported: bool


class EventOut(BaseModel):
    at: datetime
    kind: str
    name: str
    detail: Any
    remote: str | None


class TimelineOut(MessageOut):
    events: list[EventOut]


class AttachmentOut(BaseModel):
    number: int
    name: str | None
    type: str
    size: int


class ContentOut(BaseModel):
    """A message as its reader sees it: HTML is cleaned, and still to be shown in a sandbox only."""

    text: str | None
    html: str | None
    attachments: list[AttachmentOut]


class FileBody(Strict):
    name: Annotated[Line, Field(min_length=1, max_length=255)]
    content_base64: str
    type: str = Field("application/octet-stream", pattern=r"^[a-z0-9.+-]{1,60}/[a-z0-9.+-]{1,80}$")


class MessageBody(Strict):
    """A message to be written on behalf of a party; the other one gets it as mail."""

    order: OrderNumber | None = Field(None, description="Which correspondence; or give `alias`.")
    alias: Annotated[Line, Field(max_length=320)] | None = Field(
        None, description="The alias it is for, where there is no order yet.")
    writer: SideName = "seller"
    subject: Annotated[Line, Field(min_length=1, max_length=200)]
    text: Annotated[str, Field(max_length=100_000), AfterValidator(_written)] | None = None
    html: Annotated[str, Field(max_length=500_000), AfterValidator(_written)] | None = None
    attachments: Annotated[list[FileBody], Field(max_length=20)] = []
    in_reply_to: str | None = Field(None, description="The id of the message that it answers.")


class WebhookBody(Strict):
    url: Annotated[Line, Field(min_length=8, max_length=2000, examples=["https://tienda.example/hook"])]
    types: Annotated[list[Literal["message.received", "message.delivered", "message.failed", "message.refused",
                                  "message.reported", "buyer.opted-out"]], Field(max_length=20)] = []
    """Everything, if empty."""


class WebhookOut(BaseModel):
    id: str
    host: str = Field(description="The URL itself is not shown: its path may hold a secret.")
    types: list[str]
    waiting: int = Field(description="Calls that are still to be answered.")
    last_status: int | None
    created_at: datetime


class WebhookSecretOut(WebhookOut):
    secret: str = Field(description="What calls are signed with; it is shown this once.")


class DecisionBody(Strict):
    decision: Literal["upheld", "dismissed"]
    reason: Annotated[Line, Field(min_length=1, max_length=500)]


class TemplateBody(Strict):
    subject: Annotated[Line, Field(min_length=1, max_length=200)]
    text: Annotated[str, Field(min_length=1, max_length=20_000), AfterValidator(_written)]


class FilledOut(BaseModel):
    subject: str
    text: str


class TemplateOut(BaseModel):
    name: str
    seller: str | None
    subject: str
    text: str
    updated_at: datetime


assert set(BLOCK_KINDS) == {"unsolicited", "counterpart", "party", "address", "domain", "network"}
PartyView.model_rebuild()
