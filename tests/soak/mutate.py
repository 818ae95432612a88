"""Octets changed at random: the plain mutation of the fuzz campaigns."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

ODD = b"\x00\r\n\t .<>@\"\\=%&();:-\x7f\x80\xc3\xe2\xff"
MAX_BYTES = 20_000


def mutated(rng: Random, seeds: Sequence[bytes], words: Sequence[bytes]) -> bytes:
    """One of the seeds, changed in one to eight places; at most MAX_BYTES."""
    data = bytearray(rng.choice(seeds))
    for _ in range(1 + min(7, int(rng.expovariate(0.5)))):
        at = rng.randint(0, len(data))
        end = min(len(data), at + _length(rng))
        match rng.randrange(8):
            case 0 if data:
                data[at - 1] ^= 1 << rng.randrange(8)
            case 1:
                data[at:at] = bytes((rng.choice(ODD),))
            case 2:
                data[at:end] = rng.choice(words)
            case 3:
                data[at:at] = rng.choice(words)
            case 4:
                del data[at:end]
            case 5:
                data[at:at] = data[at:end] * rng.choice((1, 1, 2, 9))
            case 6:
                other = rng.choice(seeds)
                begin = rng.randint(0, len(other))
                data[at:end] = other[begin : begin + _length(rng)]
            case _:
                to = rng.randint(0, len(data))
                data[to:to] = data[at:end]
    return bytes(data[:MAX_BYTES])


def _length(rng: Random) -> int:
    return int(rng.choice((2, 20, 200)) * rng.random()) + 1
