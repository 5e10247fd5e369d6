"""Traffic whose every outcome is recorded, and the read-back of every replica.

``Load``, which needs numpy from its first line on, is in ``rmqkit.load.runner``.
"""

from __future__ import annotations

from rmqkit.load.readback import read_back
from rmqkit.load.steady import SteadyTraffic

__all__ = ["SteadyTraffic", "read_back"]
