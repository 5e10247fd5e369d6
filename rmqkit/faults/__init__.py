"""Faults: one file per kind, each a value that one wrapper injects safely and undoes; ``registry`` names them all."""

from __future__ import annotations

from rmqkit.faults.fault import Fault
from rmqkit.faults.kill import Kill, kill_leader, kill_peers
from rmqkit.faults.pause import Pause
from rmqkit.faults.registry import FAULTS, make
from rmqkit.faults.select import select
from rmqkit.faults.stop import stop_leader
from rmqkit.faults.timeline import Failover, Phase
from rmqkit.faults.wrapper import Injection, injected

__all__ = [
    "FAULTS",
    "Failover",
    "Fault",
    "Injection",
    "Kill",
    "Pause",
    "Phase",
    "injected",
    "kill_leader",
    "kill_peers",
    "make",
    "select",
    "stop_leader",
]
