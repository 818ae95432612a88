"""The short form of ./dev soak power."""

import os
import subprocess
import sys
from pathlib import Path

from soak.power import NoLoopDeviceError, run

SOAK = Path(__file__).parent.parent / "soak"


async def test_what_was_answered_250_survives_a_power_cut(tmp_path: Path) -> None:
    try:
        found = await run(tmp_path, times=4, messages=100, seed=1)
    except NoLoopDeviceError:
        return campaign_says_that_it_cannot(os.environ["PATH"])
    assert found.accepted >= 100
    assert found.clean, "\n".join(found.lines())
    assert found.ends == {"SIGKILL": 2, "exit 1": 2}  # where the disk alone is lost: 421 and an end
    return None


def test_a_machine_without_loop_devices_has_not_passed(tmp_path: Path) -> None:
    (tmp_path / "mkfs.ext4").write_text("#!/bin/sh\necho no room for it >&2\nexit 1\n")
    (tmp_path / "mkfs.ext4").chmod(0o755)
    campaign_says_that_it_cannot(f"{tmp_path}:{os.environ['PATH']}")
    campaign_says_that_it_cannot(str(tmp_path))


def campaign_says_that_it_cannot(path: str) -> None:
    done = subprocess.run([sys.executable, str(SOAK), "power", "--times", "1", "--messages", "1"], timeout=60,
                          capture_output=True, text=True, env=os.environ | {"PATH": path})
    assert done.returncode == 1, done.stderr
    assert done.stdout.endswith("; nothing was tested\n")
