"""The file system shut down under the daemon at random moments: un-synced writes are gone, as after most power cuts.

An ext4 image is mounted (needs root and a loop device) and shut down by ioctl without flushing its journal: nothing
more reaches the image, and what was not synced is not in it. Then it is mounted anew and the daemon started on it.
A file that was written and not synced shows each time that the cut was one.

Every other time all stops at once, as when the power fails: the daemon's processes are frozen, the file system is shut
down, and they are killed. Every 250 counts. The other times the disk alone is lost: the daemon runs on, must answer 421
and end with status 1. What it answered 250 after that moment is told apart: the ioctl makes an fsync that is under way
return 0 with nothing kept (a bare loop of write and fsync shows it too), which no power cut does.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import itertools
import os
import random
import shutil
import signal
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from load import Load
from support import Relay

from relay.demo.outside import OutsideServer
from soak import crashes
from soak.crashes import Figures, StalledError, end, fix_port

IMAGE_BYTES = 512 * 1024 * 1024
FS_IOC_SHUTDOWN = 0x8004587D
"""_IOR('X', 125, __u32), linux/fs.h (ext4 and xfs)."""
NOLOGFLUSH = 2
GONE_S = 30.0


class NoLoopDeviceError(Exception):
    """This machine lets nobody mount an image, or shut its file system down."""


async def campaign(times: int, messages: int, seed: int | None, workers: int) -> int:
    """Print the figures; 0 when nothing was lost and every duplicate has its cut."""
    seed = random.SystemRandom().randrange(2**32) if seed is None else seed
    print(f"power: seed {seed}, {times} cuts, at least {messages} accepted messages, {workers} worker process(es)",
          flush=True)
    with tempfile.TemporaryDirectory(prefix="tradepost-power-") as folder:
        try:
            found = await run(Path(folder), times, messages, seed, workers)
        except NoLoopDeviceError as error:
            print(f"power: {error}; nothing was tested")
            return 1
        except StalledError as error:
            print(f"power: {error}")
            return 1
    print("\n".join(found.lines()))
    return 0 if found.clean and "hung" not in found.ends and found.accepted >= messages else 1


async def run(folder: Path, times: int, messages: int, seed: int, workers: int = 1) -> Figures:
    """Raises NoLoopDeviceError where no image can be mounted."""
    outside = OutsideServer()
    await outside.start()
    relay = Relay(folder, {"outbound": {"route": f"smtp://127.0.0.1:{outside.port}", "retry": ["1s"]},
                           "policy": {"rate_base": 10**9}, "relay": {"workers": workers}})
    with mounted(folder / "image", folder / "var") as disk:

        aside, cuts = set[str](), itertools.count()

        async def cut(load: Load) -> str:
            if next(cuts) % 2:
                ended = await lose_disk(relay, disk, load, aside)
            else:
                ended = await lose_power(relay, disk)
            await asyncio.to_thread(disk.mount_anew)
            return ended

        try:
            await fix_port(relay)
            return await crashes.run(relay, outside, cut, times=times, messages=messages, seed=seed, aside=aside)
        finally:
            await relay.stop()
            await outside.stop()


async def lose_power(relay: Relay, disk: Disk) -> str:
    """All stops at once."""
    assert relay.process
    pid = relay.process.pid
    processes = [pid, *(int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]
    for process in processes:
        os.kill(process, signal.SIGSTOP)
    while not all(_stands_still(process) for process in processes):
        await asyncio.sleep(0)
    disk.cut()
    for process in processes:
        os.kill(process, signal.SIGKILL)
    return end(await relay.stop(signal.SIGKILL))


def _stands_still(pid: int) -> bool:
    """Whether its first thread, which answers the clients, is stopped (proc(5), stat)."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


async def lose_disk(relay: Relay, disk: Disk, load: Load, aside: set[str]) -> str:
    """The daemon runs on without its file system, and must end by itself."""
    assert relay.process
    before = set(load.accepted)
    disk.cut()
    try:
        ended = end(await asyncio.to_thread(relay.process.wait, GONE_S))
        relay.process = None
    except subprocess.TimeoutExpired:
        await relay.stop(signal.SIGKILL)
        ended = "hung"
    aside |= load.accepted - before
    return ended


class Disk:
    """A mounted ext4 image."""

    def __init__(self, image: Path, where: Path) -> None:
        self._image = image
        self._where = where
        self._unsynced = where / "unsynced"

    def mount(self) -> None:
        _do("mount", "-o", "loop", str(self._image), str(self._where))

    def cut(self) -> None:
        """Nothing that was not synced before this moment will be there afterwards."""
        self._unsynced.write_bytes(b"this must not survive")
        folder = os.open(self._where, os.O_RDONLY)
        try:
            fcntl.ioctl(folder, FS_IOC_SHUTDOWN, struct.pack("I", NOLOGFLUSH))
        finally:
            os.close(folder)

    def mount_anew(self) -> None:
        """As after a power cut; raises AssertionError when it was none."""
        self.unmount()
        self.mount()
        if self._unsynced.exists() and self._unsynced.read_bytes():
            raise AssertionError("what was not synced is there: the file system was not cut off")
        self._unsynced.unlink(missing_ok=True)

    def unmount(self) -> None:
        _do("umount", str(self._where))


@contextlib.contextmanager
def mounted(image: Path, where: Path) -> Iterator[Disk]:
    """A new ext4 image, mounted; unmounted at the end. Raises NoLoopDeviceError."""
    for command in ("mkfs.ext4", "mount", "umount"):
        if shutil.which(command) is None:
            raise NoLoopDeviceError(f"{command} is not installed")
    with image.open("wb") as file:
        file.truncate(IMAGE_BYTES)
    where.mkdir(mode=0o700)
    disk = Disk(image, where)
    try:
        _do("mkfs.ext4", "-q", "-F", str(image))
        disk.mount()
    except subprocess.CalledProcessError as error:
        raise NoLoopDeviceError(f"no image can be mounted here: {error.stderr.strip()}") from None
    try:
        try:
            disk.cut()
        except OSError as error:
            raise NoLoopDeviceError(f"the file system cannot be shut down here: {error.strerror}") from None
        disk.mount_anew()
        yield disk
    finally:
        disk.unmount()


def _do(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True, text=True)
