"""One request, one answer that must be a success.

What belongs here: turning a refusal into :class:`~rmqkit.errors.RemoteError`. What does not: single requests
(``nameserver``, ``broker``), sends, whose refusal is a result (``send``).
"""

from __future__ import annotations

from collections.abc import Mapping

from rmqkit.errors import RemoteError, WireError
from rmqkit.transport.pool import Requester
from rmqkit.wire.codes import RequestCode, ResponseCode, request_name, response_name
from rmqkit.wire.frames import Command

_HINTS: Mapping[int, str] = {
    ResponseCode.TOPIC_NOT_EXIST: "create it on the leader; a follower copies topics from its leader every 10 s",
    ResponseCode.SYSTEM_BUSY: "the broker sheds load: try again in a moment",
    ResponseCode.SERVICE_NOT_AVAILABLE: "ask the leader: this broker is a follower, is stopping, or cannot write",
    ResponseCode.REQUEST_CODE_NOT_SUPPORTED: "is this the right port of the right kind of server?",
}


def ask(
    pool: Requester,
    address: str,
    code: RequestCode,
    *,
    timeout_s: float,
    ext: Mapping[str, object] | None = None,
    body: bytes = b"",
    accept: tuple[int, ...] = (),
) -> Command:
    """Send request ``code`` and give the answer.

    Raises :class:`RemoteError` when its code is neither success nor in ``accept``, and what the transport
    raises.
    """
    answer = pool.request(address, Command.request(code, ext=ext, body=body), timeout_s=timeout_s)
    if answer.code != ResponseCode.SUCCESS and answer.code not in accept:
        raise refusal(address, code, answer)
    return answer


def refusal(address: str, code: int, answer: Command, *, hint: str = "") -> RemoteError:
    """The error for an answer that is no success."""
    remark = answer.remark.strip()
    return RemoteError(
        f"{address} refused request {request_name(code)}: {response_name(answer.code)}"
        f"{f' ({remark})' if remark else ''}",
        address=address,
        code=answer.code,
        remark=answer.remark,
        hint=hint or _HINTS.get(answer.code, ""),
    )


def number(answer: Command, name: str, *, address: str) -> int:
    """The header field ``name`` of an answer as a number. Raises :class:`WireError` where it is none."""
    text = answer.ext.get(name, "")
    try:
        return int(text)
    except ValueError:
        raise WireError(f"{address} answered {name}={text!r} where a number belongs") from None
