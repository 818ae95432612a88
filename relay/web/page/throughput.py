"""Operators: how much came and went, as charts that the server draws, with the numbers as tables."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from relay.ledger.desk import Desk
from relay.ledger.traffic import SERIES, Slice, Traffic
from relay.web.page.render import render, text
from relay.web.page.viewer import AtDesk, Operator, words_of
from relay.web.page.words import Words

router = APIRouter()
Span = Literal["hour", "day"]
SPANS: dict[str, tuple[float, int]] = {"hour": (60.0, 60), "day": (1800.0, 48)}
"""Name -> (seconds of a slice, slices)."""
CHARTS = {"in": (("accepted", "accent"), ("refused", "bad")),
          "out": (("delivered", "good"), ("deferred", "wait"), ("failed", "bad"))}
"""Chart -> (series, colour), from the bottom of each bar up."""
GOOD_FOR = 20
"""A count is good for so many times the time that it took."""
WIDTH, HEIGHT, GAP = 600.0, 100.0, 0.22
TICKS = 6


@dataclass(frozen=True)
class Bar:
    """A rectangle of the drawing."""

    x: float
    y: float
    width: float
    height: float
    tone: str


@dataclass(frozen=True)
class Chart:
    """`ticks` are times along the bottom, `rows` the table: (time, counts)."""

    name: str
    top: int
    bars: tuple[Bar, ...]
    totals: tuple[tuple[str, str, int], ...]
    """(series, colour, sum)."""
    ticks: tuple[str, ...]
    rows: tuple[tuple[str, tuple[int, ...]], ...]


class Gauge:
    """Counts at most as often as it pays, whoever looks."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[float, Sequence[Slice]]] = {}
        self._turn = asyncio.Lock()

    async def slices(self, desk: Desk, span: str) -> Sequence[Slice]:
        """The last whole slices of time, and the one under way."""
        step, count = SPANS[span]
        async with self._turn:
            begun = time.monotonic()
            if span not in self._known or begun >= self._known[span][0]:
                until = math.floor(time.time() / step + 1) * step
                look = partial(Traffic.slices, until=until, step_s=step, count=count)
                found = await desk.read(lambda opened: look(Traffic(opened)))
                ended = time.monotonic()
                self._known[span] = (ended + GOOD_FOR * (ended - begun), found)
            return self._known[span][1]


@router.get("/throughput")
async def show(request: Request, viewer: Operator, desk: AtDesk, span: Span = "hour") -> Response:
    return render(request, "throughput.html", part=await _part(request, desk, span))


@router.get("/throughput/part")
async def show_part(request: Request, viewer: Operator, desk: AtDesk, span: Span = "hour",
                    seen: Annotated[str, Query(max_length=64)] = "") -> Response:
    """The charts anew; 204 when nothing has changed."""
    part = await _part(request, desk, span)
    if part["version"] == seen:
        return Response(status_code=204)
    return render(request, "throughput_part.html", part=part)


async def _part(request: Request, desk: AtDesk, span: str) -> dict[str, Any]:
    gauge: Gauge = request.app.state.gauge
    slices, words = await gauge.slices(desk, span), words_of(request)
    part = {"span": span, "spans": tuple(SPANS), "charts": [chart(name, slices, words) for name in CHARTS],
            "width": WIDTH, "height": HEIGHT, "version": ""}
    return part | {"version": sha256(text(request, "throughput_part.html", part=part).encode()).hexdigest()[:32]}


def chart(name: str, slices: Sequence[Slice], words: Words) -> Chart:
    """One chart over `slices`, in the viewer's time zone."""
    series = CHARTS[name]
    columns = [SERIES.index(one) for one, _ in series]
    rows = [tuple(one.counts[column] for column in columns) for one in slices]
    top = nice(max((sum(row) for row in rows), default=0))
    room = WIDTH / max(1, len(rows))
    bars = []
    for number, row in enumerate(rows):
        y = HEIGHT
        for count, (_, tone) in zip(row, series, strict=True):
            height = HEIGHT * count / top
            y -= height
            if count:
                bars.append(Bar(round(number * room + room * GAP / 2, 2), round(y, 2), round(room * (1 - GAP), 2),
                                round(height, 2), tone))
    at = [words.clock(datetime.fromtimestamp(one.begins, UTC)) for one in slices]
    step = max(1, len(at) // TICKS)
    totals = tuple((one, tone, sum(row[index] for row in rows)) for index, (one, tone) in enumerate(series))
    return Chart(name, top, tuple(bars), totals, tuple(at[::step]), tuple(zip(at, rows, strict=True)))


def nice(value: int) -> int:
    """The next 1, 2 or 5 times a power of ten, at least 4 or so: what an axis ends at."""
    if value <= 5:
        return 5
    power = 10 ** math.floor(math.log10(value))
    return int(next(power * factor for factor in (1, 2, 5, 10) if value <= power * factor))
