"""./dev soak NAME: long campaigns. Each prints its seed and its figures, and exits 1 when one is not what it must be."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from soak import kill, leaks


def main() -> int:
    parser = argparse.ArgumentParser(prog="./dev soak", description=__doc__)
    names = parser.add_subparsers(dest="name", required=True)
    one = names.add_parser("kill", help=kill.__doc__)
    one.add_argument("--times", type=int, default=20, help="how often the daemon is killed")
    one.add_argument("--messages", type=int, default=2000, help="accepted messages at least")
    one.add_argument("--workers", type=int, default=1, help="processes of the daemon")
    one.add_argument("--seed", type=int, default=None)
    one = names.add_parser("leaks", help=leaks.__doc__)
    one.add_argument("--messages", type=int, default=100_000, help="how many are generated")
    one.add_argument("--seed", type=int, default=None)
    one.add_argument("--jobs", type=int, default=2, help="processes that generate and judge")
    one.add_argument("--first", type=int, default=0, help="number of the first, to see a part of a campaign again")
    options = parser.parse_args()
    if options.name == "leaks":
        return leaks.campaign(options.messages, options.seed, options.jobs, options.first)
    return asyncio.run(kill.campaign(options.times, options.messages, options.seed, options.workers))


sys.exit(main())
