"""One target of the fuzz campaign under atheris: TARGET COUNT SEED FOLDER. Writes FOLDER/found.json and exits 0."""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).parent.parent))

with atheris.instrument_imports(include=["aliasing", "policy", "relay"]):
    from soak import parsers
from soak.fuzz import Found, hush
from soak.mutate import MAX_BYTES, mutated


def main() -> None:
    hush()
    name, count, seed, folder = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])
    found, target = Found(), parsers.TARGETS[name]

    def one(data: bytes) -> None:
        found.judge(name, data)
        if found.given[name] % 1000 == 0 or found.given[name] >= count:
            (folder / "found.json").write_text(found.to_json())
        if found.given[name] >= count:
            os._exit(0)

    def mutate(data: bytes, most: int, number: int) -> bytes:
        rng = random.Random(number)
        if rng.random() < 0.5:
            return bytes(atheris.Mutate(data, most))
        return mutated(rng, (data,) if data else target.seeds(), target.words)[:most]

    atheris.Setup([sys.argv[0], f"-seed={seed % 2**31 or 1}", f"-max_len={MAX_BYTES}", "-timeout=60", "-rss_limit_mb=4096",
                   f"-artifact_prefix={folder}/", str(folder / "corpus")], one, custom_mutator=mutate)
    atheris.Fuzz()


main()
