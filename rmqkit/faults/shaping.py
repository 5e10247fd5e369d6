"""The text of the commands that shape flows: a class of traffic, what it does, and the rules that put packets into it.

What belongs here: pure text for ``tc`` and ``iptables``. What does not: which flows, and running anything.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from rmqkit.errors import UsageError
from rmqkit.faults.netrules import Flow, Rules

BUSY: Final = "this network is shaped already: end the other fault (slow-network, latency) first"


@dataclass(frozen=True, slots=True)
class Shape:
    """``flows`` leave ``device`` at ``rate_kbit`` kilobits a second, after ``netem`` (``delay 100ms``) where given.

    One shape at a time fits on a device; a second one is refused, and taking it back does not touch the first: its
    handle is its own.
    """

    token: str
    run: str
    flows: tuple[Flow, ...]
    device: str
    rate_kbit: int
    netem: str = ""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z][a-z0-9]{0,14}", self.device):
            raise UsageError(f"device={self.device!r} is no network device", hint="such as lo or eth0")
        if any(flow.outside for flow in self.flows):
            raise UsageError("packets that come in cannot be shaped", hint="shape what leaves")

    @property
    def major(self) -> str:
        """The number of the root discipline: from the token, so that each shape has its own; never 0 or ffff."""
        return f"{int(self.token, 16) % 0xFFFE + 1:x}"

    @property
    def rules(self) -> Rules:
        """What puts the flows' packets into the class."""
        action = f"CLASSIFY --set-class {self.major}:10"
        return Rules(self.token, self.run, self.flows, table="mangle", action=action)

    def do(self) -> str:
        """The shell commands that shape."""
        into, rate = f"parent {self.major}: classid {self.major}:10", f"{self.rate_kbit}kbit"
        # The kernel would refuse a second one too, in words that help nobody.
        tc = f"if tc qdisc show dev {self.device} root | grep -q htb; then echo '{BUSY}'; exit 1; fi\n"
        tc += f"tc qdisc add dev {self.device} root handle {self.major}: htb default 0\n"
        tc += f"tc class add dev {self.device} {into} htb rate {rate}\n"
        if self.netem:
            tc += f"tc qdisc add dev {self.device} parent {self.major}:10 netem {self.netem}\n"
        return tc + self.rules.do()

    def undo(self) -> str:
        """The shell commands that take it back."""
        return f"{self.rules.undo()}tc qdisc del dev {self.device} root handle {self.major}:\n"

    def gone(self) -> str:
        """A shell command that succeeds when nothing of it is left."""
        return (
            f"{{ {self.rules.gone()}; }} && shown=$(tc qdisc show dev {self.device}) && "
            f'case "$shown" in *" {self.major}: "*) printf "%s\\n" "$shown" >&2; false ;; esac'
        )
