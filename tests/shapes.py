"""Ordinary legitimate messages in the shapes of common mail clients, from a seed.

Each shape follows what the client's mail looks like on the wire: its structure, header fields, markup and quirks.
People and domains are invented. `messages()` is what tests call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random

import shape_clients
import shape_programs

Shape = Callable[[Random, str, str], bytes]
SHAPES: dict[str, Shape] = {**shape_clients.SHAPES, **shape_programs.SHAPES}


def messages(count: int, seed: int, sender: str = "ana.lopez@correo.example",
             to: str = "alias@relay.example") -> Iterator[tuple[str, bytes]]:
    """`count` messages as (name of the shape, bytes with CRLF), every shape in turn; the same for the same seed."""
    rng = Random(seed)
    names = list(SHAPES)
    for index in range(count):
        name = names[index % len(names)]
        yield name, SHAPES[name](rng, sender, to)
