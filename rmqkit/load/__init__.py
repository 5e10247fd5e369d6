"""Traffic whose every outcome is recorded, and the read-back of every replica."""

from __future__ import annotations

from rmqkit.load.ended import LoadParts
from rmqkit.load.readback import read_back
from rmqkit.load.runner import Load, Progress
from rmqkit.load.steady import SteadyTraffic

__all__ = ["Load", "LoadParts", "Progress", "SteadyTraffic", "read_back"]
