"""Webhooks leave: signed by the Standard Webhooks convention, tried again until they are answered with 2xx."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from relay import maillog
from relay.ledger.desk import Desk
from relay.ledger.webhooks import Call, Webhooks

if TYPE_CHECKING:
    import httpx

POLL_S = 1.0
TIMEOUT_S = 15.0
AT_A_TIME = 4
"""Calls of one webhook under way."""


class Hooks:
    """One a daemon. A receiver that is down costs the others no more than its TIMEOUT_S."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`; what is under way then is done again at the next start."""
        client: httpx.AsyncClient | None = None
        try:
            while not stop.is_set():
                worked = False
                try:
                    if await self._desk.read(lambda opened: bool(opened.query("webhooks"))):
                        client = client or _client()
                        worked = await self._turn(client)
                except Exception as error:  # mail goes on, whatever happens here
                    maillog.crashed("webhooks", error)
                if not worked:
                    await _pause(stop)
        finally:
            if client is not None:
                await client.aclose()

    async def _turn(self, client: httpx.AsyncClient) -> bool:
        """Collect what is new, call what is due; False when there was nothing to do."""
        more = await self._desk.write(lambda opened: Webhooks(opened).collect(time.time()))
        calls = await self._desk.read(lambda opened: Webhooks(opened).due(time.time(), AT_A_TIME))
        if not calls:
            return more
        statuses = await asyncio.gather(*(self._call(client, call) for call in calls))
        results: Sequence[tuple[Call, int]] = list(zip(calls, statuses, strict=True))
        await self._desk.write(lambda opened: Webhooks(opened).record(results, time.time()))
        return True

    async def _call(self, client: httpx.AsyncClient, call: Call) -> int:
        """The HTTP status; 0 when there was no answer. The answer's body is not read: it could be without end."""
        import httpx
        from standardwebhooks import Webhook

        at = datetime.now(UTC)
        signed = [Webhook(secret).sign(call.public_id, at, call.body) for secret in call.secrets]
        headers = {"webhook-id": call.public_id, "webhook-timestamp": str(int(at.timestamp())),
                   "webhook-signature": " ".join(signed), "content-type": "application/json"}
        status = 0
        try:
            async with asyncio.timeout(TIMEOUT_S):
                async with client.stream("POST", call.url, content=call.body.encode(), headers=headers) as answer:
                    status = answer.status_code
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, OSError):
            pass
        maillog.webhook_called(call.public_id, call.webhook, call.attempts + 1, status)
        return status


def _client() -> httpx.AsyncClient:
    """Made where the first webhook is: it costs each start a tenth of a second otherwise."""
    import httpx

    return httpx.AsyncClient(verify=ssl.create_default_context(), timeout=TIMEOUT_S, follow_redirects=False,
                             trust_env=False, headers={"User-Agent": "Tradepost"})


async def _pause(stop: asyncio.Event) -> None:
    try:
        await asyncio.wait_for(stop.wait(), POLL_S)
    except TimeoutError:
        return
