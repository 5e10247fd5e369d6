"""Promises of rmqkit.errors: one root, text built from data, and who is at fault by class."""

from __future__ import annotations

import inspect

import pytest

from rmqkit import errors
from rmqkit.errors import (
    ClusterError,
    ConnectFailedError,
    MachineError,
    RemoteError,
    RmqkitError,
    TransportError,
    UsageError,
    WaitTimeoutError,
)

ALL = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if kind.__module__ == errors.__name__]


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_every_error_has_one_root_and_says_what_it_means(kind: type) -> None:
    assert issubclass(kind, RmqkitError)
    assert kind.__doc__, "an error that nobody can choose is no use"


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_at_most_one_party_is_at_fault(kind: type) -> None:
    """The command line's exit code goes by these classes: an error in two of them would have two codes."""
    parties = (UsageError, MachineError, TransportError, RemoteError, ClusterError)
    assert sum(issubclass(kind, party) for party in parties) <= 1


def test_the_text_is_what_was_seen_then_the_details_then_what_to_do() -> None:
    error = RmqkitError("n1 ended", details=["line one", "line two"], hint="read the log")
    assert str(error) == "n1 ended\n  line one\n  line two\nWhat to do: read the log"


def test_without_details_and_hint_the_text_is_one_line() -> None:
    assert str(RmqkitError("n1 ended")) == "n1 ended"


def test_the_data_stay_readable_as_attributes() -> None:
    error = ConnectFailedError("no", address="127.0.0.1:1", request_sent=False, details=["a"], hint="b")
    assert (error.what, error.details, error.hint) == ("no", ("a",), "b")
    assert (error.address, error.request_sent) == ("127.0.0.1:1", False)
    refused = RemoteError("no", address="127.0.0.1:1", code=17, remark="topic not exist")
    assert (refused.code, refused.remark) == (17, "topic not exist")


def test_a_wait_that_ran_out_says_how_long_for_what_and_what_was_seen() -> None:
    error = WaitTimeoutError("a leader", waited_s=3.25, last_seen="n0 says none", hint="wait longer")
    assert str(error) == "waited 3.2 s for: a leader; last seen: n0 says none\nWhat to do: wait longer"


def test_a_hint_that_is_set_later_is_shown() -> None:
    """``load`` adds its own advice to an error of ``waiting``."""
    error = WaitTimeoutError("a leader", waited_s=1.0, last_seen="none")
    error.hint = "look at the status"
    assert str(error).endswith("What to do: look at the status")
