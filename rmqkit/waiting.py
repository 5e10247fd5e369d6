"""The one door for waiting: a deadline, a label, a probe, and the last thing that was seen.

Nothing else in the kit sleeps. A probe returns :class:`Pending` (with words for what it saw) while the condition
does not hold, and any other value when it does; exceptions named in ``tolerate`` count as "not yet".
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from rmqkit.errors import WaitTimeoutError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Pending:
    """Not yet; ``seen`` says in a few words what the probe saw, ``details`` adds lines for the error."""

    seen: str
    details: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Deadline:
    """A point on the monotonic clock that is passed down, so that nested waits share one end."""

    at: float

    @classmethod
    def after(cls, timeout_s: float) -> Deadline:
        """The deadline that ends ``timeout_s`` seconds from now."""
        return cls(time.monotonic() + timeout_s)

    @property
    def left_s(self) -> float:
        """Seconds left; never negative."""
        return max(0.0, self.at - time.monotonic())

    @property
    def passed(self) -> bool:
        """Whether the end has come."""
        return time.monotonic() >= self.at


def wait_until(
    probe: Callable[[], T | Pending],
    *,
    label: str,
    timeout_s: float,
    every_s: float = 0.05,
    tolerate: tuple[type[BaseException], ...] = (),
    hint: str | Callable[[], str] = "",
    details: Callable[[], Sequence[str]] | None = None,
) -> T:
    """Call ``probe`` every ``every_s`` seconds until it returns something else than :class:`Pending`.

    Returns the probe's value. Raises :class:`~rmqkit.errors.WaitTimeoutError` after ``timeout_s`` seconds, with
    the label and what was last seen; ``details`` is called only then, for lines that are costly to collect.
    """
    import tenacity  # noqa: PLC0415 - a tenth of the time of a command that waits for nothing, `rmqkit status`

    last = Pending("nothing yet")
    started = time.monotonic()

    def attempt() -> T | Pending:
        nonlocal last
        try:
            result = probe()
        except tolerate as error:
            first_line = (str(error) or repr(error)).splitlines()[0]
            result = Pending(f"{type(error).__name__}: {first_line}")
        if isinstance(result, Pending):
            last = result
        return result

    retrying = tenacity.Retrying(
        stop=tenacity.stop_after_delay(timeout_s),
        wait=tenacity.wait_fixed(every_s),
        retry=tenacity.retry_if_result(lambda value: isinstance(value, Pending)),
        retry_error_callback=lambda state: state.outcome.result() if state.outcome else last,
    )
    value = retrying(attempt)
    if isinstance(value, Pending):
        raise WaitTimeoutError(
            label,
            waited_s=time.monotonic() - started,
            last_seen=last.seen,
            hint=hint() if callable(hint) else hint,
            details=(*last.details, *(details() if details else ())),
        )
    return value


__all__ = ["Deadline", "Pending", "wait_until"]
