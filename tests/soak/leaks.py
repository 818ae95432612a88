"""Real addresses planted anywhere in generated messages, and then looked for in what the product lets out."""

from __future__ import annotations

import itertools
import multiprocessing
import random
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import oracle
from planting import FRAMES, Planted, planted
from product import Outcome, run_product

BATCH = 250
MAX_KEPT = 50
"""Offending messages written down; the figures count all of them."""


@dataclass
class Figures:
    """What a campaign found."""

    generated: int = 0
    passed: int = 0
    plants: Counter[str] = field(default_factory=Counter)
    spellings: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    """By the rule that refused."""
    found: Counter[str] = field(default_factory=Counter)
    """What had been planted of the addresses that could be read in an output or in an answer."""
    leaking: int = 0
    """Messages that went out with an address in them, or whose refusal tells one."""
    unseen: Counter[str] = field(default_factory=Counter)
    """Plants that the oracle did not find in the input: then it could not have found them in the output either."""
    exceptions: Counter[str] = field(default_factory=Counter)
    slowest_s: float = 0.0
    kept: list[tuple[int, str]] = field(default_factory=list)
    """(the message's number, what was wrong), at most MAX_KEPT."""

    @property
    def clean(self) -> bool:
        return self.generated > 0 and not (self.leaking or self.unseen or self.exceptions)

    def add(self, other: Figures) -> None:
        self.generated += other.generated
        self.passed += other.passed
        self.leaking += other.leaking
        for name in ("plants", "spellings", "refused", "found", "unseen", "exceptions"):
            getattr(self, name).update(getattr(other, name))
        self.slowest_s = max(self.slowest_s, other.slowest_s)
        self.kept = sorted(self.kept + other.kept)[:MAX_KEPT]

    def lines(self) -> Iterator[str]:
        """For people; the four that must be nothing come last."""
        yield f"generated {self.generated}  passed {self.passed}  refused {self.refused.total()}  slowest {self.slowest_s:.3f} s"
        for title, counter in (("planted", self.plants), ("spelt", self.spellings), ("refused by", self.refused)):
            yield f"{title}: " + ", ".join(f"{name} {count}" for name, count in counter.most_common())
        yield f"messages with an address found in the output (must be 0): {self.leaking}{_detail(self.found)}"
        yield f"planted and not seen in the input (must be 0): {self.unseen.total()}{_detail(self.unseen)}"
        yield f"exceptions (must be 0): {self.exceptions.total()}{_detail(self.exceptions)}"


def _detail(counter: Counter[str]) -> str:
    return f"  ({', '.join(f'{name} {count}' for name, count in counter.most_common())})" if counter else ""


def campaign(messages: int, seed: int | None, jobs: int, first: int = 0) -> int:
    """Print seed and figures; 0 when nothing was found, nothing unseen, and nothing raised.

    A message depends on seed and number alone: `first` and `messages` pick out what is to be looked at again.
    """
    seed = random.SystemRandom().randrange(2**32) if seed is None else seed
    print(f"leaks: seed {seed}, {messages} messages, {jobs} process(es)", flush=True)
    begun, figures = time.monotonic(), Figures()
    end = first + messages
    batches = [(seed, at, min(BATCH, end - at)) for at in range(first, end, BATCH)]
    with multiprocessing.Pool(jobs) as pool:
        for done, part in enumerate(pool.imap_unordered(_batch, batches), 1):
            figures.add(part)
            if done % 40 == 0:
                print(f"  {figures.generated} after {time.monotonic() - begun:.0f} s: {figures.passed} passed, "
                      f"{figures.leaking} leaking", flush=True)
    print("\n".join(figures.lines()))
    print(f"took {time.monotonic() - begun:.0f} s")
    if figures.kept:
        print(f"offending messages: {write_down(seed, figures)}")
    return 0 if figures.clean else 1


def _batch(work: tuple[int, int, int]) -> Figures:
    return run(*work)


def run(seed: int, first: int, count: int) -> Figures:
    """The messages `first` and following of a campaign."""
    figures = Figures()
    for number in itertools.islice(itertools.count(first), count):
        message = planted(seed, number)
        begun = time.perf_counter()
        wrong = _judge(message, figures)
        figures.slowest_s = max(figures.slowest_s, time.perf_counter() - begun)
        if wrong and len(figures.kept) < MAX_KEPT:
            figures.kept.append((number, wrong))
    return figures


def _judge(message: Planted, figures: Figures) -> str:
    """Count one message; what was wrong with it, "" when nothing was."""
    figures.generated += 1
    figures.plants.update(plant.kind for plant in message.plants)
    figures.spellings.update(plant.spelling for plant in message.plants)
    read = set(oracle.finds(message.data, message.secrets))
    unseen = [plant for plant in message.plants if oracle.Find(plant.place, plant.address) not in read]
    figures.unseen.update(f"{plant.kind}: {plant.spelling}" for plant in unseen)
    try:
        outcome = run_product(message.data, FRAMES[message.frame], message.direction)
    except Exception as error:
        figures.exceptions[f"{type(error).__name__}: {error}"[:100]] += 1
        return f"raised {type(error).__name__}: {error}"
    told = _told(outcome, message.secrets)
    if told:
        figures.leaking += 1
        addresses = {one.address for one in told}
        figures.found.update(plant.kind for plant in message.plants if plant.address in addresses)
    if outcome.rule is None:
        figures.passed += 1
    else:
        figures.refused[outcome.rule] += 1
    return "; ".join([*(f"unseen: {plant}" for plant in unseen), *(f"found in the output: {one.place}, {one.address}" for one in told)])


def _told(outcome: Outcome, secrets: list[str]) -> list[oracle.Find]:
    """What the outside can read of the addresses: in the output, or in the answer to its writer."""
    if outcome.output is None:
        return [oracle.Find("the reply", address) for address in oracle.seen(outcome.said, secrets)]
    return oracle.finds(outcome.output, secrets)


def write_down(seed: int, figures: Figures) -> Path:
    """A new folder with input, output and reason of each message kept."""
    folder = Path(tempfile.mkdtemp(prefix="tradepost-leaks-"))
    for number, wrong in figures.kept:
        message = planted(seed, number)
        stem = folder / str(number)
        stem.with_suffix(".in.eml").write_bytes(message.data)
        plants = "\n".join(map(str, message.plants))
        stem.with_suffix(".txt").write_text(f"{wrong}\n\n{message.direction}, frame {message.frame}\n{plants}\n")
        try:
            output = run_product(message.data, FRAMES[message.frame], message.direction).output
        except Exception:
            continue
        if output is not None:
            stem.with_suffix(".out.eml").write_bytes(output)
    return folder
