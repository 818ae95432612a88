"""The demo, as a newcomer runs it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

from support import TRADEPOST


def environment(home: Path) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8"}


def test_every_scene_goes_as_told(tmp_path: Path) -> None:
    started = time.monotonic()
    done = subprocess.run([TRADEPOST, "demo", "--json"], capture_output=True, text=True, env=environment(tmp_path),
                          cwd=tmp_path, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert lines[-1]["real_addresses"] == lines[-1]["failed"] == 0
    assert lines[-1]["bytes"] > 5000
    assert lines[-1]["scenes"] == len(lines) - 1 == 13
    assert [line["ledger"]["state"] for line in lines[:-1] if line["ledger"]].count("refused") == 3
    assert time.monotonic() - started < 20
    assert list(tmp_path.iterdir()) == []


def test_stay_prints_the_settings_and_ends_at_ctrl_c(tmp_path: Path) -> None:
    demo = subprocess.Popen([TRADEPOST, "demo", "--stay"], stdout=subprocess.PIPE, text=True, env=environment(tmp_path),
                            cwd=tmp_path)
    assert demo.stdout
    for line in demo.stdout:
        if "outgoing server" in line:
            assert "127.0.0.1, port" in line
            break
    demo.send_signal(signal.SIGINT)
    demo.communicate(timeout=20)
    assert demo.returncode == 0
