"""Who may still come in, and how much of the house a network has taken up. Counts in one process; no I/O."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address

from relay import maillog
from relay.sections import LimitsSection

STRESS = 0.8
"""Share of the connections from which on clients have to hurry; half of that many octets do the same."""
STRESS_RATE = 20
MAX_NETWORKS = 20_000
"""Networks remembered; whoever comes from millions of them meets the limit of all connections."""
MAX_WAIT_S = 30.0
ABUSE_LOG_S = 1.0
"""One line a network, reason and second: enough for fail2ban, and no flood of its own."""

Client = IPv4Address | IPv6Address


def network_of(client: Client) -> int:
    """The /24 or /64 that a client is counted with, as a number: what one customer is commonly given."""
    if isinstance(client, IPv4Address):
        return int(client) >> 8
    return 1 << 64 | int(client) >> 64


class Leak:
    """A leaky bucket: what was added drains away at `per_minute`."""

    __slots__ = ("at", "level")

    def __init__(self) -> None:
        self.level = 0.0
        self.at = -math.inf

    def now(self, at: float, per_minute: float) -> float:
        """What is left at the time `at`, in seconds."""
        self.level = max(0.0, self.level - (at - self.at) * per_minute / 60)
        self.at = at
        return self.level

    def add(self, amount: float, at: float, per_minute: float) -> float:
        """Add, and say what is in it then."""
        self.level = self.now(at, per_minute) + amount
        return self.level


@dataclass(slots=True)
class _Network:
    open: int = 0
    held: int = 0
    """Octets of its messages that are in memory."""
    connects: Leak = field(default_factory=Leak)
    refusals: Leak = field(default_factory=Leak)
    octets: Leak = field(default_factory=Leak)
    said: dict[str, float] = field(default_factory=dict)
    """When an abuse was last logged, by reason."""


class Hold:
    """The octets of one message that are in memory."""

    def __init__(self, guard: Guard, client: Client) -> None:
        self._guard = guard
        self._client = client
        self.octets = 0

    def take(self, octets: int) -> bool:
        """Ask for more; False when there is no room, and then nothing is taken."""
        if not self._guard.take(self._client, octets):
            return False
        self.octets += octets
        return True

    def hand_over(self) -> Hold:
        """A new one that has all of this one's."""
        other = Hold(self._guard, self._client)
        other.octets, self.octets = self.octets, 0
        return other

    def release(self) -> None:
        """Give all back; a second time does nothing."""
        octets, self.octets = self.octets, 0
        self._guard.give(self._client, octets)


class Guard:
    """The limits of one process. Times are seconds of a clock that never steps."""

    def __init__(self, limits: LimitsSection, *, max_size: int, descriptors: int, clock: Callable[[], float]) -> None:
        """`max_size` is the biggest message in octets, `descriptors` how many files the process may open."""
        self.open = 0
        self.held = 0
        self._descriptors = descriptors
        self._clock = clock
        self._networks: OrderedDict[int, _Network] = OrderedDict()
        self.reconfigure(limits, max_size)

    def reconfigure(self, limits: LimitsSection, max_size: int) -> None:
        """Other limits from now on; what is counted stays counted."""
        self.limits = limits
        self.connections = min(limits.connections, max(1, self._descriptors - max(32, self._descriptors // 4)))
        self._memory = max(int(limits.memory), 2 * max_size)
        self._share = max(self._memory // 4, max_size)
        self._command_s = limits.command_timeout.total_seconds()
        self._data_s = limits.data_timeout.total_seconds()
        self._stress_s = limits.stress_timeout.total_seconds()

    # -- connections ---------------------------------------------------------------------------------------

    def is_exempt(self, client: Client) -> bool:
        """Whether the limits a network are not for this client."""
        return any(client in network for network in self.limits.exempt)

    def enter(self) -> bool:
        """Count one connection more; False when there are too many in all, and then it is not counted."""
        if self.open >= self.connections:
            return False
        self.open += 1
        return True

    def leave(self) -> None:
        self.open -= 1

    def admit(self, client: Client) -> str | None:
        """Count a connection of the client's network, until dismiss(); or what to refuse it with."""
        if self.is_exempt(client):
            self._network(client).open += 1
            return None
        network = self._network(client)
        if network.open >= self.limits.connections_per_network:
            self.abuse(client, "connections")
            return "421 4.7.0 Too many connections from your network"
        per_minute = self.limits.connects_per_network
        if network.connects.now(self._clock(), per_minute) + 1 > per_minute:
            self.abuse(client, "connects")
            return "421 4.7.0 Your network connects too often, try again later"
        network.connects.add(1, self._clock(), per_minute)
        network.open += 1
        return None

    def dismiss(self, client: Client) -> None:
        """A connection that was admitted has ended."""
        self._network(client).open -= 1

    # -- recipients ----------------------------------------------------------------------------------------

    def refused_recipient(self, client: Client) -> float:
        """Count a recipient that does not exist; how many seconds its answer has to wait because of the others.

        A network as a whole gets `refusals_per_network` answers a minute, however many connections it guesses on.
        """
        if self.is_exempt(client):
            return 0.0
        per_minute = self.limits.refusals_per_network
        over = self._network(client).refusals.add(1, self._clock(), per_minute) - per_minute
        return max(0.0, over * 60 / per_minute)

    # -- octets --------------------------------------------------------------------------------------------

    def has_room(self, client: Client, octets: int) -> bool:
        """Whether a message of that size could be kept now."""
        if self.held + octets > self._memory:
            return False
        return self.is_exempt(client) or self._network(client).held + octets <= self._share

    def has_sent_too_much(self, client: Client) -> bool:
        """Whether its network has used up its octets of the minute."""
        per_minute = int(self.limits.bytes_per_network)
        return not self.is_exempt(client) and (
            self._network(client).octets.now(self._clock(), per_minute) >= per_minute)

    def hold(self, client: Client) -> Hold:
        return Hold(self, client)

    def take(self, client: Client, octets: int) -> bool:
        if not self.has_room(client, octets):
            return False
        network = self._network(client)
        network.octets.add(octets, self._clock(), int(self.limits.bytes_per_network))
        network.held += octets
        self.held += octets
        return True

    def give(self, client: Client, octets: int) -> None:
        if octets:
            self._network(client).held -= octets
            self.held -= octets

    # -- time ----------------------------------------------------------------------------------------------

    @property
    def stressed(self) -> bool:
        """Whether clients have to hurry, so that new ones find a place."""
        return self.open > self.connections * STRESS or self.held > self._memory // 2

    def command_s(self) -> float:
        """Seconds that a command may take."""
        return min(self._command_s, self._stress_s) if self.stressed else self._command_s

    def data_s(self, octets: int) -> float:
        """Seconds that the first `octets` of a message may take."""
        if self.stressed:
            return min(self._data_s, self._stress_s) + octets / (self.limits.data_rate * STRESS_RATE)
        return self._data_s + octets / self.limits.data_rate

    # -- who goes too far ----------------------------------------------------------------------------------

    def abuse(self, client: Client, what: str) -> None:
        """Log it, in the one form that fail2ban reads."""
        said, now = self._network(client).said, self._clock()
        if now - said.get(what, -math.inf) >= ABUSE_LOG_S:
            said[what] = now
            maillog.client_abuse(str(client), what)

    def _network(self, client: Client) -> _Network:
        key = network_of(client)
        network = self._networks.get(key)
        if network is None:
            network = self._networks[key] = _Network()
            if len(self._networks) > MAX_NETWORKS:
                self._forget()
        else:
            self._networks.move_to_end(key)
        return network

    def _forget(self) -> None:
        """Drop the network that was quiet for longest; those with connections or messages are kept."""
        for key, network in self._networks.items():
            if not network.open and not network.held:
                del self._networks[key]
                return
