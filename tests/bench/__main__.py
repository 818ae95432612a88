"""./dev bench NAME: benchmarks beside a peer in one run; what they print are ratios to quote."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).parent.parent)  # this folder has a relay.py of its own

from bench import queue, relay  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__)
    names = parser.add_subparsers(dest="name", required=True)
    one = names.add_parser("relay", help=relay.__doc__)
    one.add_argument("--messages", type=int, default=2000)
    one.add_argument("--sessions", type=int, default=20)
    one.add_argument("--size", type=int, default=4096, help="octets of body")
    one.add_argument("--rounds", type=int, default=3)
    one.add_argument("--workers", type=int, default=2, help="processes of Tradepost: one a core")
    one = names.add_parser("queue", help=queue.__doc__)
    one.add_argument("--deliveries", type=int, default=1_000_000)
    one.add_argument("--destinations", type=int, default=1000)
    options = parser.parse_args()
    if options.name == "queue":
        return queue.run(options.deliveries, options.destinations)
    return asyncio.run(relay.compare(options.messages, options.sessions, options.size, options.rounds, options.workers))


sys.exit(main())
