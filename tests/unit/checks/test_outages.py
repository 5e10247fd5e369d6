"""Promises of the outage's bounds: what the sends prove of a service that nobody sees go or come back."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from model_runs import SECOND, faults

from rmqkit.checks import Outage, longest_gap_s, outages
from rmqkit.history import FaultEvent, History, Outcome, SendRecord

ACK, REFUSED, UNKNOWN = Outcome.ACKNOWLEDGED, Outcome.REFUSED, Outcome.UNKNOWN
Sent = tuple[float, float, Outcome]


def history(*sent: Sent, sender: str = "built-in/0", into: History | None = None, steps: bool = True) -> History:
    made = into if into is not None else History()
    if into is None and steps:
        made.faults += faults()  # from 10 s to 15 s
    for number, (start_s, end_s, outcome) in enumerate(sent):
        start, end = int(start_s * SECOND), int(end_s * SECOND)
        made.add_send(
            SendRecord(f"{sender}-{number}", "T", start, end, outcome, -1, -1, "", "", sender=sender),
        )
    return made


def only(made: History) -> Outage:
    (outage,) = outages(made)
    return outage


PLAIN: tuple[Sent, ...] = (
    (9.8, 9.9, ACK),
    (9.9, 10.1, UNKNOWN),
    (10.2, 10.3, REFUSED),
    (12.0, 12.1, REFUSED),
    (14.5, 14.6, REFUSED),
    (14.7, 15.2, ACK),
    (15.2, 15.3, ACK),
)


def test_the_sends_bound_the_outage_from_both_sides() -> None:
    outage = only(history(*PLAIN))
    assert (outage.sender, outage.fault, outage.target) == ("built-in", "kill-leader", "n0")
    assert (outage.last_ack_ns, outage.first_ack_ns) == (int(9.9 * SECOND), int(15.2 * SECOND))
    assert round(outage.lower_s, 6) == 4.2, "between the refusals of 10.3 and 14.5"
    assert round(outage.gap_s, 6) == 5.3
    assert outage.upper_s is not None
    assert round(outage.upper_s, 6) == 5.4, "from the start of the last one taken before"
    assert (outage.refused, outage.unknown) == (3, 1)


def test_sends_of_unknown_outcome_prove_no_outage() -> None:
    """A partition: every answer is lost, and every send may have been stored."""
    outage = only(history((9.0, 9.1, ACK), (10.1, 13.1, UNKNOWN), (13.2, 14.9, UNKNOWN), (15.0, 15.1, ACK)))
    assert outage.lower_s == 0
    assert outage.gap_s == 6.0


def test_one_refusal_shows_that_the_service_was_away_but_not_for_how_long() -> None:
    outage = only(history((9.0, 9.1, ACK), (11.0, 11.1, REFUSED), (15.0, 15.1, ACK)))
    assert (outage.lower_s, outage.refused) == (0, 1)


def test_a_slow_send_that_was_taken_late_shortens_the_upper_bound() -> None:
    """Of several threads, the latest start of what was acknowledged before the gap counts."""
    outage = only(history((9.0, 9.9, ACK), (9.5, 9.8, ACK), (15.0, 15.5, ACK)))
    assert outage.last_ack_ns == int(9.9 * SECOND)
    assert outage.upper_s is not None
    assert round(outage.upper_s, 6) == 6.0


def test_a_service_that_did_not_come_back_has_no_upper_bound() -> None:
    outage = only(history((9.0, 9.1, ACK), (11.0, 11.1, REFUSED), (30.0, 30.1, REFUSED)))
    assert (outage.first_ack_ns, outage.upper_s) == (None, None)
    assert round(outage.lower_s, 6) == 18.9
    assert round(outage.gap_s, 6) == 21.0


def test_a_service_that_was_never_seen_before_the_fault_has_no_upper_bound() -> None:
    outage = only(history((11.0, 11.1, REFUSED), (15.0, 15.1, ACK)))
    assert (outage.last_ack_ns, outage.upper_s) == (None, None)
    assert round(outage.gap_s, 6) == 4.1


def test_a_longer_gap_that_does_not_touch_the_fault_is_not_its_outage() -> None:
    sent = ((1.0, 1.1, ACK), (9.0, 9.1, ACK), (11.0, 11.1, ACK), (16.0, 16.1, ACK), (40.0, 40.1, ACK))
    outage = only(history(*sent))
    assert (outage.last_ack_ns, outage.first_ack_ns) == (int(11.1 * SECOND), int(16.1 * SECOND))


def test_each_driver_has_its_own_outage_of_each_fault() -> None:
    made = history(*PLAIN)
    history(*((s, e, o) for s, e, o in PLAIN if o is not ACK or s < 10), (16.9, 17.0, ACK), sender="java/0", into=made)
    made.faults += [
        FaultEvent("pause", "injected", "n1", 30 * SECOND),
        FaultEvent("pause", "healed", "n1", 31 * SECOND),
    ]
    found = outages(made)
    assert [(each.fault, each.sender) for each in found] == [
        ("kill-leader", "built-in"),
        ("kill-leader", "java"),
        ("pause", "built-in"),
        ("pause", "java"),
    ]
    assert found[1].first_ack_ns == 17 * SECOND
    assert found[2].upper_s is None, "nothing was sent after the second fault"


def test_workers_of_one_driver_count_together_unless_each_is_asked_for() -> None:
    made = history((9.0, 9.1, ACK), (20.0, 20.1, ACK))
    history((9.0, 9.1, ACK), (15.0, 15.1, ACK), sender="built-in/1", into=made)
    assert round(only(made).gap_s, 6) == 6.0
    assert [(each.sender, round(each.gap_s, 6)) for each in outages(made, each_sender=True)] == [
        ("built-in/0", 11.0),
        ("built-in/1", 6.0),
    ]


def test_without_a_fault_or_without_sends_there_is_no_outage_to_speak_of() -> None:
    assert outages(history(*PLAIN, steps=False)) == ()
    assert outages(history()) == ()
    assert longest_gap_s(history()) == 0


times = st.floats(0, 30, allow_nan=False)
sent_lists = st.lists(st.tuples(times, st.floats(0, 3), st.sampled_from(Outcome)), min_size=1, max_size=20)


@settings(deadline=None)
@given(sent_lists)
def test_the_gap_lies_between_its_bounds(sent: list[tuple[float, float, Outcome]]) -> None:
    outage = only(history(*((start, start + lasted, outcome) for start, lasted, outcome in sent)))
    assert 0 <= outage.lower_s <= outage.gap_s + 1e-9
    assert outage.upper_s is None or outage.gap_s <= outage.upper_s
