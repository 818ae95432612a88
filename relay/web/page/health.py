"""Operators: how the daemon is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from relay.records import Finding
from relay.web.page.render import render
from relay.web.page.viewer import Operator, words_of
from relay.web.page.words import Words

router = APIRouter()
_WORST = ("bad", "wait", "good")


@router.get("/health")
async def show(request: Request, viewer: Operator) -> Response:
    return render(request, "health.html", **await _found(request))


@router.get("/health/part")
async def show_part(request: Request, viewer: Operator) -> Response:
    return render(request, "health_part.html", **await _found(request))


async def _found(request: Request) -> Mapping[str, Any]:
    findings: list[Finding] = await request.app.state.findings()
    words = words_of(request)
    worst = next((tone for tone in _WORST if any(one.tone == tone for one in findings)), "wait")
    return {"findings": [(one, _said(one, words)) for one in findings], "worst": worst}


def _said(one: Finding, words: Words) -> str:
    """A finding's figures in words."""
    values = one.values
    if one.name == "queue":
        depth = words.some("health.queue_depth", int(values["queued"] + values["deferred"]))
        held = words.some("health.queue_held", int(values["held"]))
        age = words("health.queue_oldest", time=words.span(values["oldest_s"])) if values["oldest_s"] else ""
        return " · ".join(filter(None, (depth, held, age)))
    if one.name == "workers":
        return words("health.workers_what", alive=words.number(values["alive"]), count=words.number(values["count"]))
    if one.name == "disk":
        return words("health.disk_what", size=words.octets(int(values["free"])))
    if one.name == "certificate":
        if values["left_s"] <= 0:
            return words("health.certificate_over")
        return words("health.certificate_what", time=words.span(values["left_s"]))
    return words(f"health.{one.name}_{'good' if one.tone == 'good' else 'bad'}")
