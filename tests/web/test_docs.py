"""docs/api.md is run as it stands."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
from pathlib import Path
from typing import Any

from house import House
from operating import until
from receiver import Receiver
from support import TRADEPOST

from relay.web.problem import PROBLEMS

PAGE = Path(__file__).parent.parent.parent / "docs/api.md"


async def test_the_back_ends_story(house: House) -> None:
    relay, receiver = house.relay, Receiver()
    blocks = re.findall(r"```sh\n(.*?)```(?:\n```json\n(.*?)```)?", PAGE.read_text(), re.DOTALL)
    assert len(blocks) >= 4
    mark = "\n----\n"
    script = "set -eu\n" + "".join(f"{command}printf '{mark}'\n" for command, _ in blocks)
    environment = relay.environment() | {"API": f"http://{house.where}", "TRADEPOST_CONFIG": str(relay.file),
                                         "HOOK": f"http://127.0.0.1:{receiver.port}/"}
    environment["PATH"] = f"{TRADEPOST.parent}:{environment['PATH']}"
    done = await asyncio.to_thread(subprocess.run, ["bash", "-c", script], capture_output=True, text=True, timeout=60,
                                   env=environment, cwd=relay.folder)
    assert done.returncode == 0, done.stderr
    for (command, expected), printed in zip(blocks, done.stdout.split(mark), strict=False):
        if expected:
            assert shape(json.loads(printed)) == shape(json.loads(expected)), (command, printed)
    await until(lambda: {"message.received", "buyer.opted-out"} <= {one["type"] for one in receiver.told})
    told = next(one for one in receiver.told if one["type"] == "message.received")
    example = re.search(r'```json\n(\{"type".*?)```', PAGE.read_text(), re.DOTALL)
    assert example
    assert set(told["data"]) == set(json.loads(example.group(1))["data"])
    receiver.stop()


def test_the_codes_are_all_named() -> None:
    named = {(int(status), code) for status, codes in re.findall(r"(?m)^\| (\d{3}) \| (.*) \|$", PAGE.read_text())
             for code in re.findall(r"`([a-z-]+)`", codes)}
    assert named == {(status.value, code) for code, (status, _) in PROBLEMS.items()}


def shape(value: Any) -> Any:
    """Keys and kinds; of identifiers and states that are the same each time the value as well."""
    if isinstance(value, dict):
        return {key: type(one).__name__ if key in ("id", "trace", "state") else shape(one) for key, one in value.items()}
    if isinstance(value, list):
        return [shape(one) for one in value[:1]]
    if isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9-]{1,20}", value):
        return value
    return type(value).__name__
