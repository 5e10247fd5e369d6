"""What ends a request without an answer, in words: a connection that broke, a deadline that passed.

What belongs here: the errors. What does not: when they come (``channel``).
"""

from __future__ import annotations

from dataclasses import dataclass

from rmqkit.errors import ConnectionLostError, RequestTimeoutError, WireError
from rmqkit.wire.codes import request_name

LOST_HINT = "the process ended, or (behind Docker's port proxy) nothing listens there any more"


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a channel is broken for good; each request in flight gets an error of its own from it."""

    address: str
    what: str
    hint: str
    garbage: WireError | None

    def error(self, *, request_sent: bool) -> Exception:
        """The error of one request; ``request_sent`` says whether the peer may have seen it."""
        if self.garbage is not None:
            kind, seen = type(self.garbage), self.garbage
            return kind(f"{self.address}: {seen.what}", hint=seen.hint, details=seen.details)
        return ConnectionLostError(
            f"{self.address}: {self.what}", address=self.address, request_sent=request_sent, hint=self.hint
        )


def timed_out(address: str, code: int, timeout_s: float, *, sent: bool, why: str) -> RequestTimeoutError:
    """The error of a request of that code that had ``timeout_s`` seconds; ``why`` says what it waited for."""
    return RequestTimeoutError(
        f"{address} gave no answer to request {request_name(code)} within {timeout_s:.3g} s ({why})",
        address=address,
        request_sent=sent,
        hint="a peer that does not know a request code gives no answer at all; otherwise it is paused,"
        " cut off or overloaded",
    )
