"""Faults: one file per kind, each a value that one wrapper injects safely and undoes; ``registry`` names them all."""

from __future__ import annotations

from rmqkit.faults.clock_skew import ClockSkew
from rmqkit.faults.disk_full import DiskFull
from rmqkit.faults.fault import Fault
from rmqkit.faults.kill import Kill, kill_leader, kill_peers
from rmqkit.faults.latency import Latency
from rmqkit.faults.loss import Loss
from rmqkit.faults.nameserver import NameServerKill, NameServerPause
from rmqkit.faults.partition import CutClients, CutLink, CutNameServer, Halves, Isolate, Ring
from rmqkit.faults.pause import Pause
from rmqkit.faults.registry import FAULTS, make
from rmqkit.faults.restart import Restart
from rmqkit.faults.rolling import RollingRestart
from rmqkit.faults.schedule import Schedule, Step
from rmqkit.faults.select import select
from rmqkit.faults.slow_disk import SlowDisk
from rmqkit.faults.slow_network import SlowNetwork
from rmqkit.faults.stop import Stop, stop_leader
from rmqkit.faults.timeline import Failover, Phase
from rmqkit.faults.transfer import Transfer
from rmqkit.faults.wrapper import Injection, injected

__all__ = [
    "FAULTS",
    "ClockSkew",
    "CutClients",
    "CutLink",
    "CutNameServer",
    "DiskFull",
    "Failover",
    "Fault",
    "Halves",
    "Injection",
    "Isolate",
    "Kill",
    "Latency",
    "Loss",
    "NameServerKill",
    "NameServerPause",
    "Pause",
    "Phase",
    "Restart",
    "Ring",
    "RollingRestart",
    "Schedule",
    "SlowDisk",
    "SlowNetwork",
    "Step",
    "Stop",
    "Transfer",
    "injected",
    "kill_leader",
    "kill_peers",
    "make",
    "select",
    "stop_leader",
]
