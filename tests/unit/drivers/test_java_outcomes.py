"""Promises of the table from the Java client's answers to outcomes."""

from __future__ import annotations

from typing import Any

import pytest

from rmqkit.client.outcomes import OutcomeUnknown, Receipt, Refused, Verdict
from rmqkit.drivers.java_outcomes import RULES, attempt_of, batch_outcomes, classify_exception, outcome_of, said
from rmqkit.errors import DriverError

BROKER = "127.0.0.1:30911"


def attempt(error: str | None = None, message: str = "", code: int | None = None, **fields: Any) -> dict[str, Any]:
    """An attempt as the driver's hook tells it."""
    out: dict[str, Any] = {"broker": BROKER, "queueId": 3, "startNanos": 1_000_000, "endNanos": 3_000_000, **fields}
    if error is not None:
        out["error"] = {"class": error, "message": message, **({} if code is None else {"code": code})}
    return out


def answer(*attempts: dict[str, Any], error: str | None = None, **fields: Any) -> dict[str, Any]:
    """The driver's answer to a send."""
    out: dict[str, Any] = {"id": 1, "ok": error is None, "attempts": list(attempts), **fields}
    if error is not None:
        out["error"] = {"class": error, "message": f"{error} said this"}
    return {"startNanos": 0, "endNanos": 5_000_000, **out}


STORED = {"status": "SEND_OK", "offsetMsgId": "7F00", "queueId": 3, "queueOffset": 9, "brokerName": "RaftNode00"}
WAITED = ("RemotingTimeoutException", "wait response on the channel </127.0.0.1:30911> timeout, 3000(ms)")
BROKE = ("RemotingSendRequestException", "send request to <127.0.0.1:30911> failed")
NO_CONNECTION = ("RemotingConnectException", "connect to 127.0.0.1:30911 failed")
NOT_LEADER = ("MQBrokerException", "broker is not the master")


def test_send_ok_is_a_receipt_with_its_place_and_the_times_of_the_java_process() -> None:
    outcome = outcome_of(answer(attempt(status="SEND_OK"), **STORED), message_id="m")
    assert isinstance(outcome, Receipt)
    assert (outcome.message_id, outcome.address, outcome.msg_id) == ("m", BROKER, "7F00")
    assert (outcome.queue_id, outcome.queue_offset, outcome.broker_name) == (3, 9, "RaftNode00")
    assert (outcome.latency_ms, outcome.attempts[0].latency_ms) == (5.0, 2.0)


@pytest.mark.parametrize(
    ("status", "code"), [("FLUSH_DISK_TIMEOUT", 10), ("SLAVE_NOT_AVAILABLE", 11), ("FLUSH_SLAVE_TIMEOUT", 12)]
)
def test_stored_but_not_confirmed_is_unknown(status: str, code: int) -> None:
    outcome = outcome_of(answer(attempt(status=status), **{**STORED, "status": status}), message_id="m")
    assert isinstance(outcome, OutcomeUnknown)
    assert (outcome.code, outcome.reason.partition(":")[0]) == (code, status)


@pytest.mark.parametrize(
    ("error", "message", "verdict"),
    [
        (*NO_CONNECTION, Verdict.REFUSED),
        ("RemotingTooMuchRequestException", "sendKernelImpl call timeout", Verdict.REFUSED),
        ("RemotingTimeoutException", "invokeSync call timeout", Verdict.REFUSED),
        ("RemotingTimeoutException", "invokeSync call the addr[127.0.0.1:30911] timeout", Verdict.REFUSED),
        ("RemotingTimeoutException", "invokeAsyncImpl call timeout", Verdict.REFUSED),
        (*WAITED, Verdict.UNKNOWN),
        ("RemotingTimeoutException", "some other text", Verdict.UNKNOWN),
        (*BROKE, Verdict.UNKNOWN),
        ("InterruptedException", "", Verdict.UNKNOWN),
        ("RemotingCommandException", "decode", Verdict.UNKNOWN),
        ("OutOfMemoryError", "", Verdict.UNKNOWN),
    ],
)
def test_an_exception_certifies_only_what_the_clients_source_does(error: str, message: str, verdict: Verdict) -> None:
    assert attempt_of(attempt(error, message)).verdict is verdict
    kind = Refused if verdict is Verdict.REFUSED else OutcomeUnknown
    assert isinstance(outcome_of(answer(attempt(error, message), error=error), message_id="m"), kind)


@pytest.mark.parametrize(
    ("code", "remark", "kind"), [(14, "x", Refused), (2, "[OVERLOAD]", Refused), (1, "?", OutcomeUnknown)]
)
def test_a_brokers_code_means_what_it_means_to_the_built_in_client(code: int, remark: str, kind: type) -> None:
    outcome = outcome_of(answer(attempt("MQBrokerException", remark, code), error="MQClientException"), message_id="m")
    assert isinstance(outcome, kind)
    assert (outcome.code, outcome.remark) == (code, remark)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("attempts", "kind"),
    [
        ([attempt(*NOT_LEADER, 14), attempt(*NO_CONNECTION), attempt(*NO_CONNECTION)], Refused),
        ([attempt(*WAITED), attempt(*NO_CONNECTION), attempt(*NOT_LEADER, 14)], OutcomeUnknown),
        ([attempt(*BROKE), attempt(*NO_CONNECTION)], OutcomeUnknown),
        ([], Refused),
    ],
    ids=["all refused", "the first timed out", "the first broke", "none reached the network"],
)
def test_an_earlier_attempt_that_may_have_been_stored_is_not_hidden_by_a_later_refusal(
    attempts: list[dict[str, Any]], kind: type
) -> None:
    outcome = outcome_of(answer(*attempts, error="MQClientException"), message_id="m")
    assert isinstance(outcome, kind)
    assert len(outcome.attempts) == len(attempts)  # type: ignore[attr-defined]


def test_an_attempt_that_began_and_never_ended_is_unknown() -> None:
    begun = {"broker": BROKER, "queueId": 0, "startNanos": 1}
    assert isinstance(outcome_of(answer(begun, error="NullPointerException"), message_id="m"), OutcomeUnknown)


def test_a_one_way_send_is_unknown_once_written_and_refused_without_a_connection() -> None:
    assert isinstance(outcome_of(answer(attempt()), message_id="m"), OutcomeUnknown)
    refused = outcome_of(answer(attempt(*NO_CONNECTION), error="RemotingConnectException"), message_id="m")
    assert isinstance(refused, Refused)


def test_a_transactions_receipt_takes_the_offset_id_from_its_attempt() -> None:
    place = {name: value for name, value in STORED.items() if name != "offsetMsgId"}
    outcome = outcome_of(answer(attempt(status="SEND_OK", offsetMsgId="AB"), **place), message_id="m")
    assert isinstance(outcome, Receipt)
    assert outcome.msg_id == "AB"


def test_success_without_a_place_is_no_receipt() -> None:
    assert isinstance(outcome_of(answer(attempt(status="SEND_OK"), status="SEND_OK"), message_id="m"), OutcomeUnknown)


def test_what_the_driver_did_not_try_is_an_error_not_an_outcome() -> None:
    line = {"id": 1, "ok": False, "error": {"class": "IllegalArgumentException", "message": "there is no producer p"}}
    with pytest.raises(DriverError, match="there is no producer p"):
        outcome_of(line, message_id="m")


def test_a_batch_has_a_receipt_for_each_message_at_consecutive_offsets() -> None:
    line = answer(attempt(status="SEND_OK"), **{**STORED, "offsetMsgId": "A,B,C"})
    outcomes = batch_outcomes(line, message_ids=["x", "y", "z"])
    assert [(o.message_id, o.msg_id, o.queue_offset) for o in outcomes if isinstance(o, Receipt)] == [
        ("x", "A", 9),
        ("y", "B", 10),
        ("z", "C", 11),
    ]


def test_a_batch_with_the_wrong_number_of_ids_is_unknown_and_a_refused_one_is_refused_whole() -> None:
    short = batch_outcomes(answer(attempt(status="SEND_OK"), **STORED), message_ids=["x", "y"])
    assert [type(outcome) for outcome in short] == [OutcomeUnknown, OutcomeUnknown]
    line = answer(attempt("MQBrokerException", "message illegal", 13), error="MQBrokerException")
    assert [type(outcome) for outcome in batch_outcomes(line, message_ids=["x", "y"])] == [Refused, Refused]


def test_an_exception_is_told_in_one_line_with_its_causes_and_without_links() -> None:
    deep = {
        "class": "MQClientException",
        "message": "No route info of this topic: T\nSee http://example.invalid for further details.",
        "cause": {"class": "IOException", "message": "a\nb"},
    }
    assert said(deep) == "MQClientException: No route info of this topic: T; caused by IOException: a b"
    assert said(None) == "no reason given"


def test_every_row_can_be_reached() -> None:
    texts = {"RemotingTimeoutException": ["invokeSync call timeout", "wait response on the channel"]}
    reached = {
        classify_exception(rule.name, text) for rule in RULES for text in texts.get(rule.name, ["anything at all"])
    }
    assert reached == set(RULES)
