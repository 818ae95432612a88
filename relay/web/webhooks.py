"""Webhooks: whom to tell of what happens."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Response

from relay.ledger.apikeys import ApiKey
from relay.ledger.opened import Opened
from relay.ledger.webhooks import Webhooks
from relay.web.access import AtDesk, scope
from relay.web.idempotent import IdempotencyKey, IdempotentRoute
from relay.web.models import Page, WebhookBody, WebhookOut, WebhookSecretOut
from relay.web.problem import documented

router = APIRouter(route_class=IdempotentRoute, tags=["webhooks"], responses=documented())
Caller = Annotated[ApiKey, Depends(scope("webhooks"))]
Number = Annotated[int, Path(ge=1, lt=2**63)]


@router.get("/webhooks", response_model=Page[WebhookOut])
async def list_webhooks(caller: Caller, desk: AtDesk) -> dict[str, Any]:
    """Which there are, and how many calls wait; all on one page."""
    return await desk.read(lambda opened: {"items": list(Webhooks(opened).all()), "next": None})


@router.post("/webhooks", status_code=201, response_model=WebhookSecretOut)
async def create_webhook(body: WebhookBody, caller: Caller, desk: AtDesk,
                         idempotency_key: IdempotencyKey = None) -> dict[str, Any]:
    """Tell `url` of what happens from now on. It is https://, or http:// on the relay's own machine."""
    def add(opened: Opened) -> dict[str, Any]:
        webhooks = Webhooks(opened)
        number, secret = webhooks.add(body.url, body.types)
        return webhooks.one(number) | {"secret": secret}

    return await desk.write(add)


@router.post("/webhooks/{id}/rotate", response_model=WebhookSecretOut)
async def rotate_secret(id: Number, caller: Caller, desk: AtDesk,  # noqa: A002
                        idempotency_key: IdempotencyKey = None) -> dict[str, Any]:
    """A new secret. For 24 hours calls carry a signature by the old one as well."""
    def rotate(opened: Opened) -> dict[str, Any]:
        webhooks = Webhooks(opened)
        return {"secret": webhooks.rotate(id)} | webhooks.one(id)

    return await desk.write(rotate)


@router.delete("/webhooks/{id}", status_code=204, response_class=Response)
async def remove_webhook(id: Number, caller: Caller, desk: AtDesk) -> Response:  # noqa: A002
    """Tell it no more, not even what waits."""
    await desk.write(lambda opened: Webhooks(opened).remove(id))
    return Response(status_code=204)
