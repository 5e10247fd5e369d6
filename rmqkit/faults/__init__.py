"""Faults: one file per kind, each a context manager that undoes itself; ``wrapper`` runs any of them safely."""

from __future__ import annotations

from rmqkit.faults.kill import kill_leader, kill_peers
from rmqkit.faults.stop import stop_leader
from rmqkit.faults.timeline import Failover, Phase

__all__ = ["Failover", "Phase", "kill_leader", "kill_peers", "stop_leader"]
