"""./dev soak NAME: long campaigns. Each prints its seed and its figures, and exits 1 when one is not what it must be."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from soak import api, flood, fuzz, io, kill, leaks, loris, page, power, smuggle


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what a campaign started and mounted is ended too
    parser = argparse.ArgumentParser(prog="./dev soak", description=__doc__)
    names = parser.add_subparsers(dest="name", required=True)
    one = names.add_parser("kill", help=kill.__doc__)
    one.add_argument("--kills", type=int, default=100, help="how often the daemon is killed")
    one.add_argument("--messages", type=int, default=10_000, help="accepted messages at least")
    one.add_argument("--workers", type=int, default=1, help="processes of the daemon")
    one.add_argument("--seed", type=int, default=None)
    one = names.add_parser("io", help=io.__doc__)
    one.add_argument("--jobs", type=int, default=2, help="runs at a time")
    one = names.add_parser("power", help=power.__doc__)
    one.add_argument("--times", type=int, default=100, help="how often the file system is shut down")
    one.add_argument("--messages", type=int, default=2000, help="accepted messages at least")
    one.add_argument("--workers", type=int, default=1, help="processes of the daemon")
    one.add_argument("--seed", type=int, default=None)
    one = names.add_parser("leaks", help=leaks.__doc__)
    one.add_argument("--messages", type=int, default=100_000, help="how many are generated")
    one.add_argument("--seed", type=int, default=None)
    one.add_argument("--jobs", type=int, default=2, help="processes that generate and judge")
    one.add_argument("--first", type=int, default=0, help="number of the first, to see a part of a campaign again")
    one = names.add_parser("fuzz", help=fuzz.__doc__)
    one.add_argument("--sessions", type=int, default=20_000, help="SMTP sessions with the daemon; 0 for none")
    one.add_argument("--inputs", type=int, default=200_000, help="octets into the parsers; 0 for none")
    one.add_argument("--seed", type=int, default=None)
    one.add_argument("--jobs", type=int, default=2, help="processes that parse")
    one.add_argument("--plain", action="store_true", help="plain mutation even where atheris is installed")
    names.add_parser("smuggle", help=smuggle.__doc__)
    one = names.add_parser("loris", help=loris.__doc__)
    one.add_argument("--connections", type=int, default=5000, help="idle and dripping ones")
    one.add_argument("--seconds", type=float, default=30, help="how long they are held")
    one.add_argument("--hostile", type=int, default=50, help="messages without end at once")
    one.add_argument("--megabytes", type=int, default=10, help="of each")
    one.add_argument("--seed", type=int, default=None)
    one = names.add_parser("flood", help=flood.__doc__)
    one.add_argument("--count", type=int, default=1_000_000, help="forged aliases")
    one.add_argument("--sessions", type=int, default=200, help="connections that guess")
    one.add_argument("--slowed", type=float, default=20, help="seconds with the default limits afterwards")
    one.add_argument("--seed", type=int, default=None)
    one = names.add_parser("api", help=api.__doc__)
    one.add_argument("--messages", type=int, default=1_000_000, help="in the ledger")
    one.add_argument("--seed", type=int, default=None)
    one = names.add_parser("page", help=page.__doc__)
    one.add_argument("--messages", type=int, default=1_000_000, help="in the ledger")
    one.add_argument("--rounds", type=int, default=300, help="how often each view is asked for")
    one.add_argument("--pictures", type=Path, default=None, metavar="FOLDER",
                     help="also every view in both languages, light and dark, phone and desktop, as a picture")
    one.add_argument("--seed", type=int, default=None)
    options = parser.parse_args()
    if options.name == "page":
        return page.campaign(options.messages, options.rounds, options.seed, options.pictures)
    if options.name == "loris":
        return loris.campaign(options.connections, options.hostile, options.megabytes, options.seconds, options.seed)
    if options.name == "flood":
        return flood.campaign(options.count, options.sessions, options.slowed, options.seed)
    if options.name == "fuzz":
        return fuzz.campaign(options.sessions, options.inputs, options.seed, options.jobs, mutate=options.plain)
    if options.name == "smuggle":
        return smuggle.campaign()
    if options.name == "api":
        return api.campaign(options.messages, options.seed)
    if options.name == "io":
        return asyncio.run(io.campaign(options.jobs))
    if options.name == "power":
        return asyncio.run(power.campaign(options.times, options.messages, options.seed, options.workers))
    if options.name == "leaks":
        return leaks.campaign(options.messages, options.seed, options.jobs, options.first)
    return asyncio.run(kill.campaign(options.kills, options.messages, options.seed, options.workers))


sys.exit(main())
