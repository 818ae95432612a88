"""The filter for fail2ban (conf/fail2ban), run without it."""

from __future__ import annotations

import configparser
import re
from pathlib import Path

FILTER = Path(__file__).parent.parent / "conf/fail2ban/filter.d/tradepost.conf"


def failregexes() -> list[re.Pattern[str]]:
    """The filter's expressions, as fail2ban builds them: <HOST> is an address."""
    parser = configparser.ConfigParser(interpolation=configparser.BasicInterpolation())
    parser.read(FILTER)
    lines = parser["Definition"]["failregex"].strip().splitlines()
    return [re.compile(line.strip().replace("<HOST>", r"(?P<host>[0-9a-fA-F.:]+)")) for line in lines]


def banned(line: str) -> str | None:
    """Whom fail2ban counts for a line of a file; it takes a time at the line's beginning out first."""
    line = re.sub(r"^\d{4}-\d\d-\d\dT[\d:.]+Z", "", line)
    return next((found["host"] for one in failregexes() if (found := one.search(line))), None)
