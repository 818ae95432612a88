"""The kinds of value that configuration keys hold: how each is written, and what is said of one that is wrong."""

from __future__ import annotations

import ipaddress
import re
from datetime import timedelta
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict

from aliasing.address import Address, AddressError

LONGEST = timedelta(days=3650)
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def _duration(value: object) -> object:
    """`"90s"`, `"15m"`, `"4h"`, `"5d"` or a number of seconds."""
    try:
        found = _timedelta(value)
    except OverflowError:
        found = timedelta.max
    if found > LONGEST:  # the calendar ends: a next attempt must still have a date
        raise ValueError(f"a duration of more than {LONGEST.days} days means nothing here")
    return found


def _timedelta(value: object) -> timedelta:
    if isinstance(value, str) and (match := re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhd])", value.strip())):
        return timedelta(seconds=float(match.group(1)) * _UNITS[match.group(2)])
    if isinstance(value, int | float) and not isinstance(value, bool):
        return timedelta(seconds=value)
    if isinstance(value, timedelta):
        return value
    raise ValueError('give a duration such as "90s", "15m", "4h" or "5d"')


def _positive(value: timedelta) -> timedelta:
    if value <= timedelta(0):
        raise ValueError("a duration must be longer than nothing")
    return value


def domain(value: str) -> str:
    try:
        return Address.parse(f"postmaster@{value}").domain
    except AddressError:
        raise ValueError(f"{value!r} is no domain name; write it like relay.example.com") from None


def _not_negative(value: timedelta) -> timedelta:
    if value < timedelta(0):
        raise ValueError("a duration cannot be negative")
    return value


def _network(value: object) -> object:
    try:
        return ipaddress.ip_network(str(value))
    except ValueError:
        raise ValueError(f'{str(value)!r} is no network; write it like "192.0.2.0/24" or "2001:db8::/32"') from None


def _address(value: object) -> object:
    try:
        return ipaddress.ip_address(str(value))
    except ValueError:
        raise ValueError(f'{str(value)!r} is no address; write it like "192.0.2.1" or "2001:db8::1"') from None


Duration = Annotated[timedelta, BeforeValidator(_duration), AfterValidator(_positive)]
Pause = Annotated[timedelta, BeforeValidator(_duration), AfterValidator(_not_negative)]
Network = Annotated[ipaddress.IPv4Network | ipaddress.IPv6Network, BeforeValidator(_network)]
Source = Annotated[ipaddress.IPv4Address | ipaddress.IPv6Address, BeforeValidator(_address)]
Domain = Annotated[str, AfterValidator(domain)]
TlsLevel = Literal["never", "opportunistic", "encrypt", "verify"]
UNSET = BeforeValidator(lambda value: None if value == "" else value)  # TOML has no null


class Listener(BaseModel):
    """One `host:port` to listen on or to ask; IPv6 in brackets."""

    model_config = ConfigDict(frozen=True)
    host: str
    port: int

    @classmethod
    def parse(cls, text: object) -> object:
        if not isinstance(text, str):
            return text
        host, colon, port = text.rpartition(":")
        host = host.strip("[]")
        try:
            if not colon or not port.isdigit() or int(port) > 65535:
                raise ValueError
            ipaddress.ip_address(host)
        except ValueError:
            raise ValueError(f'{text!r} is no address; write it like "127.0.0.1:2525" or "[::1]:2525"') from None
        return cls(host=host, port=int(port))

    @property
    def is_loopback(self) -> bool:
        return ipaddress.ip_address(self.host).is_loopback

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


Endpoint = Annotated[Listener, BeforeValidator(Listener.parse)]
