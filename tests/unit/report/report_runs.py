"""Made-up runs whose every number is known, for the tests of reports, and one big enough to look at."""

from __future__ import annotations

import numpy as np

from rmqkit.history import FaultEvent, History, Outcome, ReadRecord, SendRecord

SECOND = 1_000_000_000
START = 1_000 * SECOND
STEPS = (("injected", "n0", 0.17), ("elected", "n1", 5.37), ("registered", "n1", 5.94), ("serves", "n1", 5.98),
         ("acked", "n1", 6.0), ("healed", "n0", 8.2), ("restored", "n0", 19.3))  # fmt: skip


def send(
    number: int, outcome: Outcome, *, start_s: float, took_ms: float = 1.0, sender: str = "built-in/0", reason: str = ""
) -> SendRecord:
    """A send of topic T; acknowledged ones go to queue 0 at the offset ``number``."""
    start = START + round(start_s * SECOND)
    place = (0, number) if outcome is Outcome.ACKNOWLEDGED else (-1, -1)
    end = start + round(took_ms * 1e6)
    return SendRecord(f"run-{number}", "T", start, end, outcome, *place, "127.0.0.1:1", reason, sender=sender)


def empty() -> History:
    """A history with a fixed clock."""
    history = History()
    history.start_ns, history.wall_start = START - SECOND, 1_790_000_000.0
    history.add_run_prefix("run-")
    return history


def fault(history: History, at_s: float, *, kind: str = "kill-leader") -> None:
    """A leader kill at that second, with the usual steps."""
    for step, target, after_s in STEPS:
        history.faults.append(FaultEvent(kind, step, target, START + round((at_s + after_s - 0.17) * SECOND)))


def small(*, sender: str = "built-in/0", hostile: str = "") -> History:
    """30 s at ten sends a second, no service from 10.0 s on for six seconds; read back from three replicas.

    A send is asked for every 100 ms and takes 2 ms. In the fault one is unknown and the others refused.
    """
    history = empty()
    for number in range(300):
        start_s = number / 10
        if not 10.0 <= start_s < 16.0:
            history.add_send(send(number, Outcome.ACKNOWLEDGED, start_s=start_s, took_ms=2.0, sender=sender))
        elif number == 100:
            lost = hostile or "127.0.0.1:1: the peer closed the connection"
            history.add_send(send(number, Outcome.UNKNOWN, start_s=start_s, took_ms=50.0, sender=sender, reason=lost))
        else:
            why = hostile or "no route: no broker has a master (broker id 0)"
            history.add_send(send(number, Outcome.REFUSED, start_s=start_s, sender=sender, reason=why))
    fault(history, 10.0)
    for replica in ("n0", "n1", "n2"):
        for each in list(history.sends()):
            if each.outcome is Outcome.ACKNOWLEDGED:
                history.add_read(ReadRecord(replica, each.message_id, "T", 0, each.offset))
        history.reader_done(replica, reached_end=True)
    return history


def big(sends: int = 400_000, *, seed: int = 7, lasted_s: float = 120.0) -> History:
    """Three drivers and a consumer group with a leader kill in the middle: how a load looks."""
    chance = np.random.default_rng(seed)
    history = empty()
    fault_s = lasted_s * 0.4
    shapes = {"built-in": (0.35, 6.0, 0.2), "java": (0.45, 7.4, 3.0), "native": (0.6, 13.0, 5.0)}
    for place, (driver, (scale_ms, back_s, hang_s)) in enumerate(shapes.items()):
        count = sends // 3
        start = np.sort(chance.uniform(0, lasted_s, count))
        took = scale_ms * chance.lognormal(0, 0.45, count) + (chance.random(count) < 0.002) * chance.exponential(
            20, count
        )
        away = (start >= fault_s) & (start < fault_s + back_s)
        outcome = np.where(away, int(Outcome.REFUSED), int(Outcome.ACKNOWLEDGED))
        hangs = away & (start < fault_s + hang_s)
        outcome[hangs] = int(Outcome.UNKNOWN)
        took[hangs] = hang_s * 1000
        keep = ~away | (chance.random(count) < 0.05)
        start, took, outcome = start[keep], took[keep], outcome[keep]
        start_ns = START + (start * SECOND).astype(np.int64)
        end_ns = start_ns + (took * 1e6).astype(np.int64)
        order = np.argsort(end_ns)
        reasons = ["", "no route: no broker has a master (broker id 0)", "127.0.0.1:40911: no answer within 3.0 s"]
        numbers = np.arange(len(order))
        acked = outcome[order] == int(Outcome.ACKNOWLEDGED)
        history.add_sends(
            message_id=(f"run-{place}-", numbers), topic="TopicTest", start_ns=start_ns[order], end_ns=end_ns[order],
            outcome=outcome[order], queue=np.where(acked, numbers % 8, -1), offset=np.where(acked, numbers // 8, -1),
            address="127.0.0.1:40911", reason=[reasons[each] for each in outcome[order]], sender=f"{driver}/0",
        )  # fmt: skip
        slow = np.where((end_ns[order] - START) / SECOND > fault_s, 1.6, 1.0)
        at = end_ns[order] + (chance.exponential(4e6, len(order)) * slow).astype(np.int64)
        late = (at - START) / SECOND
        pause = (late > fault_s + 20) & (late < fault_s + 26)
        at[pause] += ((fault_s + 26 - late[pause]) * SECOND).astype(np.int64)
        history.add_receives(
            consumer="test_consumer_group/0", message_id=(f"run-{place}-", numbers[acked]), topic="TopicTest",
            queue=(numbers % 8)[acked], offset=(numbers // 8)[acked], at_ns=at[acked],
        )  # fmt: skip
    fault(history, fault_s)
    return history
