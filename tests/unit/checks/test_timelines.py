"""Promises of a fault's timeline: every phase once, from whom it is, in order, and how finely it is known."""

from __future__ import annotations

from model_runs import SECOND

from rmqkit.checks import Timeline, timeline_lines, timelines
from rmqkit.history import FaultEvent, History, Outcome, ReceiveRecord, SendRecord

ACK, REFUSED = Outcome.ACKNOWLEDGED, Outcome.REFUSED


def at(second: float) -> int:
    return round(second * SECOND)


def step(name: str, target: str, second: float, *, kind: str = "kill-leader", within_s: float = 0.0) -> FaultEvent:
    return FaultEvent(kind, name, target, at(second), at(within_s))


def sent(history: History, name: str, start_s: float, end_s: float, outcome: Outcome, driver: str = "built-in") -> None:
    history.add_send(
        SendRecord(name, "T", at(start_s), at(end_s), outcome, -1, -1, "", "", sender=f"{driver}/0"),
    )


def received(history: History, name: str, second: float, consumer: str = "g/0") -> None:
    history.add_receive(ReceiveRecord(consumer, name, "T", -1, -1, at(second)))


def killed() -> History:
    """A leader is killed at 10 s; two clients and two groups."""
    history = History()
    history.faults += [
        step("injected", "n0", 10.0, within_s=0.2),
        step("left", "n1", 13.9, within_s=0.03),
        step("left", "n2", 14.0, within_s=0.04),
        step("elected", "n1", 14.5, within_s=0.025),
        step("serves", "n1", 14.9, within_s=0.02),
        step("registered", "n1", 15.0, within_s=0.02),
        step("acked", "n1", 15.01, within_s=0.004),
        step("healed", "n0", 18.0),
        step("restored", "n0", 25.0),
    ]
    sent(history, "a-1", 9.8, 9.9, ACK)
    sent(history, "a-2", 9.9, 10.1, REFUSED)
    sent(history, "a-3", 15.1, 15.3, ACK)
    sent(history, "a-4", 15.3, 15.4, ACK)
    sent(history, "b-1", 9.7, 9.8, ACK, "java")
    sent(history, "b-2", 16.0, 16.5, ACK, "java")
    # What was sent before comes first to both; the one that the producers hear of late came before they did.
    for group in ("g", "h"):
        received(history, "a-1", 15.2, f"{group}/0")
    received(history, "a-3", 15.25)
    received(history, "a-4", 15.6)
    received(history, "b-2", 17.0, "h/1")
    received(history, "a-4", 17.5, "h/0")
    return history


def only(history: History) -> Timeline:
    (found,) = timelines(history)
    return found


def test_what_clients_saw_and_what_peers_said_is_one_timeline() -> None:
    found = only(killed())
    assert (found.fault, found.target, found.injected_ns) == ("kill-leader", "n0", at(10))
    seen = [(each.name, each.who, each.at_s, round(each.within_s, 6)) for each in found.moments]
    assert seen == [
        ("last-ack", "java", -0.2, 0.1),
        ("last-ack", "built-in", -0.1, 0.1),
        ("injected", "n0", 0.0, 0.2),
        ("left", "n1", 3.9, 0.03),
        ("left", "n2", 4.0, 0.04),
        ("elected", "n1", 4.5, 0.025),
        ("serves", "n1", 4.9, 0.02),
        ("registered", "n1", 5.0, 0.02),
        ("acked", "n1", 5.01, 0.004),
        ("first-consumed", "g", 5.25, 0.0),
        ("first-ack", "built-in", 5.3, 0.2),
        ("first-ack", "java", 6.5, 0.5),
        ("first-consumed", "h", 7.0, 0.0),
        ("healed", "n0", 8.0, 0.0),
        ("restored", "n0", 15.0, 0.0),
    ]
    assert [each["phase"] for each in found.as_dict()["phases"]] == [name for name, *_ in seen]
    assert found.as_dict()["phases"][3] == {"phase": "left", "who": "n1", "at_s": 3.9, "within_s": 0.03}


def test_as_text_each_phase_has_a_line_and_several_faults_a_line_each() -> None:
    history = killed()
    lines = timeline_lines(timelines(history))
    assert lines[0] == "kill-leader of n0"
    assert lines[2] == "  -0.100 s  (+ 0.100)  built-in: last acknowledgement before the gap (known to 100 ms)"
    assert lines[4] == "   3.900 s  (+ 3.900)  n1 named its leader no longer (known to 30 ms)"
    assert (
        lines[11] == "   5.300 s  (+ 0.050)  built-in: first acknowledgement after 5.40 s without one (known to 200 ms)"
    )
    assert lines[13] == "   7.000 s  (+ 0.500)  h: first delivery of what was acknowledged since"
    history.faults += [step("injected", "n2", 30, kind="pause"), step("melted", "n{who}", 31, kind="pause")]
    assert timeline_lines(timelines(history))[1].endswith(
        ", last-ack java -13.50 s, injected 0.00 s, melted n{who} 1.00 s"
    )
    assert timelines(history)[1].moments[-1].meaning == "melted (n{who})"


def test_a_fault_that_is_injected_again_has_a_timeline_of_its_own() -> None:
    """Who watches begins before the injection, so what is seen after the recovery is of the next fault."""
    history = killed()
    history.faults += [
        step("left", "n0", 29.9, within_s=0.02),
        step("injected", "n1", 30.0),
        step("elected", "n2", 34.0),
        step("restored", "n1", 40.0),
    ]
    sent(history, "a-5", 29.0, 29.1, ACK)
    sent(history, "a-6", 34.1, 34.2, ACK)
    received(history, "a-6", 34.5)
    first, second = timelines(history)
    assert [each.name for each in second.moments] == [
        "last-ack", "last-ack", "left", "injected", "elected", "first-ack", "first-consumed", "restored"
    ]  # fmt: skip
    assert [each.who for each in second.moments if each.name == "first-consumed"] == ["g"], "h got nothing after it"
    assert [each.at_s for each in first.moments if each.name == "first-consumed"] == [5.25, 7.0]


def test_steps_of_faults_that_overlap_go_to_their_own() -> None:
    history = History()
    history.faults += [
        step("injected", "n1", 1, kind="isolate"),
        step("injected", "n2", 2, kind="isolate"),
        step("elected", "n0", 3, kind="isolate"),
        step("healed", "n1", 4, kind="isolate"),
        step("restored", "n1", 5, kind="isolate"),
        step("unfelt", "n2", 6, kind="isolate"),
        step("healed", "n2", 6, kind="isolate"),
    ]
    assert [(each.target, [moment.name for moment in each.moments]) for each in timelines(history)] == [
        ("n1", ["injected", "healed", "restored"]),
        ("n2", ["injected", "elected", "unfelt", "healed"]),
    ]


def test_without_an_injection_or_without_traffic_nothing_is_made_up() -> None:
    assert timelines(History()) == ()
    history = History()
    history.faults.append(step("elected", "n1", 5))
    found = only(history)
    assert (found.injected_ns, found.moments[0].at_s, found.lines()[1][:11]) == (None, None, "       –   ")
    assert str(found) == "kill-leader of n1: elected"
    history = killed()
    history.faults = [step("injected", "n0", 50)]
    names = [each.name for each in only(history).moments]
    assert names == ["last-ack", "last-ack", "injected"], "nothing was acknowledged after it, and so nothing consumed"


def test_a_message_that_was_never_acknowledged_is_no_sign_of_service() -> None:
    history = killed()
    sent(history, "u", 12.0, 15.35, Outcome.UNKNOWN)
    received(history, "u", 15.21)
    received(history, "somebody-elses", 15.22)
    assert [each.at_s for each in only(history).moments if each.name == "first-consumed"] == [5.25, 7.0]
