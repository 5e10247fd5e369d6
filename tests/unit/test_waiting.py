"""Promises of rmqkit.waiting: an end, a label, the last thing seen, and no cost before it is needed."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import pytest

from rmqkit.errors import ConnectFailedError, WaitTimeoutError
from rmqkit.waiting import Deadline, Pending, wait_until


def in_turn(*answers: object) -> Callable[[], object]:
    """A probe that gives or raises ``answers`` one after the other; the last one stays."""
    left = list(answers)

    def probe() -> object:
        answer = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(answer, BaseException):
            raise answer
        return answer

    return probe


def test_the_probes_value_is_returned_as_soon_as_it_is_there() -> None:
    probe = in_turn(Pending("no"), Pending("no"), "yes", "too late")
    assert wait_until(probe, label="x", timeout_s=5, every_s=0.001) == "yes"


@pytest.mark.parametrize("value", [None, False, 0, "", ()])
def test_a_value_that_is_falsy_is_a_value(value: object) -> None:
    assert wait_until(lambda: value, label="x", timeout_s=5) == value


def test_the_error_names_the_label_the_time_and_what_was_last_seen() -> None:
    probe = in_turn(Pending("one peer"), Pending("two peers", ("n0 up", "n1 up")))
    with pytest.raises(WaitTimeoutError, match=r"^waited 0\.\d s for: three peers; last seen: two peers") as caught:
        wait_until(probe, label="three peers", timeout_s=0.05, every_s=0.01)
    assert caught.value.label == "three peers"
    assert caught.value.last_seen == "two peers"
    assert caught.value.details == ("n0 up", "n1 up")
    assert caught.value.waited_s >= 0.03


def test_a_probe_is_asked_once_even_without_time() -> None:
    assert wait_until(lambda: "there", label="x", timeout_s=0) == "there"


def test_a_wait_ends_near_its_deadline() -> None:
    started = time.monotonic()
    with pytest.raises(WaitTimeoutError):
        wait_until(lambda: Pending("no"), label="x", timeout_s=0.2, every_s=0.01)
    assert 0.15 < time.monotonic() - started < 2.0


def test_costly_details_and_hints_are_collected_only_when_the_wait_fails() -> None:
    asked: list[str] = []

    def details() -> Sequence[str]:
        asked.append("details")
        return ["the log's last line"]

    def hint() -> str:
        asked.append("hint")
        return "read it"

    wait_until(lambda: "there", label="x", timeout_s=1, details=details, hint=hint)
    assert asked == []
    with pytest.raises(WaitTimeoutError) as caught:
        wait_until(lambda: Pending("no", ("seen",)), label="x", timeout_s=0, details=details, hint=hint)
    assert sorted(asked) == ["details", "hint"]
    assert caught.value.details == ("seen", "the log's last line")
    assert caught.value.hint == "read it"


def test_a_tolerated_error_counts_as_not_yet_and_is_the_last_thing_seen() -> None:
    refused = ConnectFailedError("no door\nsecond line", address="127.0.0.1:1", request_sent=False)
    assert wait_until(in_turn(refused, "open"), label="x", timeout_s=5, every_s=0.001, tolerate=(ConnectFailedError,))
    with pytest.raises(WaitTimeoutError) as caught:
        wait_until(in_turn(refused), label="x", timeout_s=0, tolerate=(ConnectFailedError,))
    assert caught.value.last_seen == "ConnectFailedError: no door"


def test_an_error_without_words_is_still_named() -> None:
    with pytest.raises(WaitTimeoutError) as caught:
        wait_until(in_turn(KeyError()), label="x", timeout_s=0, tolerate=(KeyError,))
    assert caught.value.last_seen == "KeyError: KeyError()"


def test_any_other_error_ends_the_wait_at_once() -> None:
    probe = in_turn(Pending("no"), ZeroDivisionError("a bug"))
    with pytest.raises(ZeroDivisionError, match="a bug"):
        wait_until(probe, label="x", timeout_s=60, every_s=0.001, tolerate=(ConnectFailedError,))


def test_a_deadline_is_shared_by_what_it_is_passed_to() -> None:
    deadline = Deadline.after(60)
    assert 59 < deadline.left_s <= 60
    assert not deadline.passed


def test_a_deadline_that_has_passed_leaves_no_time_and_never_less() -> None:
    deadline = Deadline.after(-1)
    assert deadline.passed
    assert deadline.left_s == 0.0
