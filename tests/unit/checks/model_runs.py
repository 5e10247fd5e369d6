"""Runs as plain lists, and a generator of good ones: what a correct cluster may do, with no code of ``checks``.

A correct cluster has one log per queue. An acknowledged send is in it; a refused one is not; an unknown one may be.
Every replica shows the whole log, or, where its reader stopped early, the beginning of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from hypothesis import strategies as st

from rmqkit.history import FaultEvent, History, Outcome, ReadRecord, SendRecord

TOPIC = "T"
REPLICAS = ("n0", "n1", "n2")
SECOND = 1_000_000_000
PREFIX = "run-"
"""What the ids of these runs begin with, as the history says; the short ones below are told by having been sent."""
INJECTED, ACKED_AGAIN = 10 * SECOND, 15 * SECOND


@dataclass(frozen=True)
class Run:
    """Everything that one history holds."""

    sends: list[SendRecord] = field(default_factory=list)
    reads: list[ReadRecord] = field(default_factory=list)
    readers: dict[str, bool] = field(default_factory=dict)
    faults: list[FaultEvent] = field(default_factory=list)

    def history(self) -> History:
        """The run, recorded."""
        history = History()
        history.add_run_prefix(PREFIX)
        history.faults += self.faults
        for send in self.sends:
            history.add_send(send)
        for read in self.reads:
            history.add_read(read)
        for replica, reached_end in self.readers.items():
            history.reader_done(replica, reached_end=reached_end)
        return history

    def with_reads(self, reads: list[ReadRecord]) -> Run:
        """The same run, read back otherwise."""
        return replace(self, reads=reads)

    def ids(self, outcome: Outcome) -> list[str]:
        """Every message id that has a send of this outcome."""
        return [each.message_id for each in self.sends if each.outcome is outcome]


def send(message_id: str, outcome: Outcome, *, at_s: float, queue: int = -1, offset: int = -1) -> SendRecord:
    """A send that ended ``at_s`` seconds into the run."""
    end = int(at_s * SECOND)
    return SendRecord(message_id, TOPIC, end - 1_000_000, end, outcome, queue, offset, "127.0.0.1:1", "")


def faults() -> list[FaultEvent]:
    """A leader kill from 10 s to 15 s, as ``faults/`` records it."""
    steps = (("injected", INJECTED), ("elected", 14 * SECOND), ("acked", ACKED_AGAIN), ("healed", 20 * SECOND))
    return [FaultEvent("kill-leader", step, "n0", at) for step, at in steps]


def plain_run(*, before: int = 5, after: int = 5, replicas: tuple[str, ...] = REPLICAS) -> Run:
    """Acknowledged sends before and after the fault, one unknown and one refused in it, and nothing wrong."""
    times = [("a", 1.0 + i / 100) for i in range(before)] + [("b", 16.0 + i / 100) for i in range(after)]
    sends = [send(f"{kind}{i}", Outcome.ACKNOWLEDGED, at_s=at, queue=0, offset=i) for i, (kind, at) in enumerate(times)]
    sends += [send("unknown", Outcome.UNKNOWN, at_s=11.0), send("refused", Outcome.REFUSED, at_s=12.0)]
    log = [each.message_id for each in sends if each.outcome is Outcome.ACKNOWLEDGED]
    reads = [ReadRecord(replica, mid, TOPIC, 0, i) for replica in replicas for i, mid in enumerate(log)]
    return Run(sends, reads, dict.fromkeys(replicas, True), faults())


@st.composite
def good_runs(draw: st.DrawFn, *, whole: bool = False) -> Run:
    """Any run that a correct cluster may have had; ``whole``: every replica was read to its end."""
    queues: dict[int, list[str]] = {number: [] for number in range(draw(st.integers(1, 3)))}
    sends: list[SendRecord] = []
    for number in range(draw(st.integers(0, 30))):
        message_id = f"m{number}"
        # A producer tries again with the same id; it stops at the first acknowledgement.
        failures = draw(st.lists(st.sampled_from([Outcome.REFUSED, Outcome.UNKNOWN]), max_size=2))
        tries = [*failures, Outcome.ACKNOWLEDGED] if draw(st.booleans()) or not failures else failures
        for outcome in tries:
            at_s = draw(st.floats(0.1, 25.0))
            stored = outcome is Outcome.ACKNOWLEDGED or (outcome is Outcome.UNKNOWN and draw(st.booleans()))
            queue = draw(st.sampled_from(sorted(queues)))
            offset = len(queues[queue])
            if stored:
                queues[queue].append(message_id)
            known = outcome is Outcome.ACKNOWLEDGED
            place = {"queue": queue, "offset": offset} if known else {}
            sends.append(send(message_id, outcome, at_s=at_s, **place))
        if draw(st.integers(0, 5)) == 0:
            # Somebody else's message, with or without an id.
            queues[0].append(draw(st.sampled_from(["", f"other-{number}"])))
        if draw(st.integers(0, 5)) == 0:
            queues[0] += ["7F0000010001-of-others"] * draw(st.integers(1, 2))  # whose producer tried twice
    reads: list[ReadRecord] = []
    readers: dict[str, bool] = {}
    for replica in REPLICAS[: draw(st.integers(1, 3))]:
        readers[replica] = whole or draw(st.booleans())
        for queue, log in queues.items():
            shown = log if readers[replica] else log[: draw(st.integers(0, len(log)))]
            reads += [ReadRecord(replica, mid, TOPIC, queue, offset) for offset, mid in enumerate(shown)]
            if draw(st.booleans()):  # a reader that starts again meets the same messages
                reads += [ReadRecord(replica, mid, TOPIC, queue, offset) for offset, mid in enumerate(shown[:2])]
    return Run(sends, draw(st.permutations(reads)), readers, faults())
