"""Promises of the text and numbers of a failover."""

from __future__ import annotations

import pytest

from rmqkit.cluster.peers import Peer
from rmqkit.faults.timeline import MEANING, PHASES, Failover, Phase

VICTIM = Peer("RaftNode00", "n0", "127.0.0.1:30911", "127.0.0.1:40911", "n0")
SUCCESSOR = Peer("RaftNode00", "n2", "127.0.0.1:30931", "127.0.0.1:40913", "n2")


def failover(*phases: tuple[str, float]) -> Failover:
    return Failover("kill-leader", "RaftNode00", VICTIM, SUCCESSOR, tuple(Phase(name, at) for name, at in phases))


SEEN = (("injected", 0.012), ("elected", 5.5), ("serves", 5.75), ("registered", 5.8), ("acked", 5.9))


def test_the_timeline_is_a_line_a_phase_with_both_times_and_the_meaning() -> None:
    assert failover(*SEEN).lines() == [
        "kill-leader of n0 in RaftNode00",
        "   0.012 s  (+ 0.012)  the fault was there",
        "   5.500 s  (+ 5.488)  Raft elected n2, as the surviving peers say",
        "   5.750 s  (+ 0.250)  n2 serves as master, as its live config says",
        "   5.800 s  (+ 0.050)  every NameServer shows n2 as broker 0",
        "   5.900 s  (+ 0.100)  first send acknowledged by n2",
    ]


def test_the_victims_return_is_added_when_it_has_happened() -> None:
    seen = failover(*SEEN)
    with pytest.raises(KeyError, match="restored"):
        seen.at("restored")
    seen.restored.append(Phase("restarted", 7.0))
    seen.restored.append(Phase("restored", 9.25))
    assert seen.lines()[-2:] == [
        "   7.000 s  (+ 1.100)  n0 was started again",
        "   9.250 s  (+ 2.250)  n0 is a follower again and has caught up",
    ]
    assert seen.at("restored") == 9.25


def test_the_outage_lasts_until_the_first_acknowledged_send() -> None:
    assert failover(*SEEN).outage_s == 5.9


def test_a_phase_without_words_of_its_own_is_shown_by_name() -> None:
    assert failover(("thawed", 1.0)).lines()[1] == "   1.000 s  (+ 1.000)  thawed"


def test_every_phase_that_is_watched_for_has_words() -> None:
    assert set(PHASES) <= MEANING.keys()
