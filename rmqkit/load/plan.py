"""What a load is to do: checked when made, so that nothing is sent by a plan that cannot be.

What belongs here: values and their own contradictions. What does not: what only the cluster knows (``preflight``).
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import Any

from rmqkit.client.heartbeat import check_group
from rmqkit.client.message import check_topic
from rmqkit.drivers.interface import BUILT_IN, DRIVERS
from rmqkit.errors import UsageError

DEFAULT_TOPIC = "TopicTest"
DEFAULT_TAG = "TagA"
DEFAULT_BODY = b"Test"
DEFAULT_GROUP = "test_consumer_group"

MOST_THREADS = 1000
MOST_PROCESSES = 64
LONGEST_S = 30 * 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SendPlan:
    """What the sending side does. Raises UsageError, which names the option, for what cannot be.

    ``threads`` send, spread over ``processes`` worker processes (0: they are threads of this process); every driver
    has as many. ``rate`` is of all threads together, a second; None sends as fast as answers come. Each thread keeps
    up to ``window`` sends under way, or puts ``batch`` messages into one request. It ends after ``duration_s``, or
    after ``count`` messages, whichever comes first; with neither it goes on until it is stopped. ``size`` is of the
    body; None sends the tutorial's "Test".
    """

    topic: str = DEFAULT_TOPIC
    tag: str = DEFAULT_TAG
    threads: int = 10
    processes: int = 0
    rate: float | None = None
    size: int | None = None
    batch: int = 1
    window: int = 0
    duration_s: float | None = None
    count: int | None = None
    drivers: tuple[str, ...] = (BUILT_IN,)
    timeout_s: float = 3.0
    seed: int = 0

    def __post_init__(self) -> None:
        check_topic(self.topic)
        _whole("--threads", self.threads, most=MOST_THREADS)
        _whole("--processes", self.processes, least=0, most=MOST_PROCESSES)
        _whole("--batch", self.batch, most=10_000)
        _whole("--window", self.window, least=0, most=100_000)
        if self.size is not None:
            _whole("--size", self.size, most=16_777_216)
        check_limits(self.duration_s, self.count)
        if self.rate is not None and not (math.isfinite(self.rate) and self.rate > 0):
            raise UsageError(
                f"--rate is {self.rate:g}", hint="messages a second, for example 500; leave it out for all"
            )
        if self.tag != self.tag.strip() or "|" in self.tag:
            raise UsageError(f"--tag is {self.tag!r}", hint="one tag, without blanks at its ends, and without |")
        self._check_together()

    def _check_together(self) -> None:
        if self.batch > 1 and self.window:
            raise UsageError(
                "--batch and --window are two ways to send faster", hint="a window has single messages under way"
            )
        if self.processes > self.threads:
            raise UsageError(
                f"--processes {self.processes} for --threads {self.threads}",
                hint="threads are spread over the processes: each needs one at least",
            )
        if self.count is not None and self.count < self.batch:
            raise UsageError(f"--count {self.count} is less than one --batch {self.batch}", hint="send more, or singly")
        unknown = [name for name in self.drivers if name not in DRIVERS]
        if unknown or not self.drivers:
            raise UsageError(
                f"there is no driver {', '.join(unknown) or 'named'}", hint=f"use one of {', '.join(DRIVERS)}"
            )
        if len(set(self.drivers)) < len(self.drivers):
            raise UsageError(f"a driver is named twice: {', '.join(self.drivers)}", hint="each once; more --threads")
        foreign = [name for name in self.drivers if name != BUILT_IN]
        for option, used in (
            ("--batch", self.batch > 1),
            ("--window", self.window > 0),
            ("--processes", self.processes),
        ):
            if foreign and used:
                raise UsageError(
                    f"{option} is the built-in driver's alone, and --driver {foreign[0]} was asked for",
                    hint="drivers are compared by what all of them do: single sends",
                )

    @property
    def body(self) -> bytes:
        """The body of every message: "Test", or ``size`` bytes that do not compress, from the seed."""
        return DEFAULT_BODY if self.size is None else random.Random(self.seed).randbytes(self.size)

    @property
    def senders(self) -> int:
        """All sending threads of all drivers."""
        return self.threads * len(self.drivers)

    def driver_of(self, worker: int) -> str:
        """Whose thread the sender ``worker`` is: one driver's after the other's."""
        return self.drivers[worker // self.threads]

    def share(self, worker: int) -> int | None:
        """How many messages the sender ``worker`` sends of ``count``."""
        if self.count is None:
            return None
        each, rest = divmod(self.count, self.senders)
        return each + (worker < rest)

    def as_dict(self) -> dict[str, Any]:
        """The options as the summary tells them."""
        return {
            "topic": self.topic,
            "tag": self.tag,
            "threads": self.threads,
            "processes": self.processes,
            "rate": self.rate,
            "size": len(self.body),
            "batch": self.batch,
            "window": self.window,
            "duration_s": self.duration_s,
            "count": self.count,
            "drivers": list(self.drivers),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivePlan:
    """What the receiving side does: ``threads`` members of one group, until ``count`` messages or ``duration_s``."""

    topic: str = DEFAULT_TOPIC
    group: str = DEFAULT_GROUP
    expression: str = "*"
    threads: int = 1
    duration_s: float | None = None
    count: int | None = None

    def __post_init__(self) -> None:
        check_topic(self.topic)
        check_group(self.group)
        if not all(tag.strip() for tag in self.expression.split("||")):
            raise UsageError(f"--expression is {self.expression!r}", hint='"*", or tags: "TagA || TagB"')
        _whole("--threads", self.threads, most=MOST_THREADS)
        check_limits(self.duration_s, self.count)

    def as_dict(self) -> dict[str, Any]:
        """The options as the summary tells them."""
        return {
            "topic": self.topic,
            "group": self.group,
            "expression": self.expression,
            "threads": self.threads,
            "duration_s": self.duration_s,
            "count": self.count,
        }


def check_limits(duration_s: float | None, count: int | None) -> None:
    """Raise UsageError for an end that cannot come."""
    if duration_s is not None and not 0 < duration_s <= LONGEST_S:
        raise UsageError(
            f"--duration is {duration_s:g}", hint="seconds, for example 60; leave it out to stop by Ctrl-C"
        )
    if count is not None:
        _whole("--count", count)


def _whole(option: str, value: int, *, least: int = 1, most: int | None = None) -> None:
    if value < least or (most is not None and value > most):
        limits = f"{least} or more" if most is None else f"{least} to {most}"
        raise UsageError(f"{option} is {value}", hint=f"a whole number, {limits}")
