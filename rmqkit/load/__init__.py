"""Traffic whose every outcome is recorded, and the read-back of every replica."""

from __future__ import annotations

from rmqkit.load.readback import read_back
from rmqkit.load.steady import SteadyTraffic

__all__ = ["SteadyTraffic", "read_back"]
