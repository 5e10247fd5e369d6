"""Where a lost message went: every replica is asked, its store's files are read, and one sentence says what it means.

What belongs here: evidence from running brokers and from their files, joined for each id. What does not: whether
something is missing at all (``rmqkit.checks``), reading files (``rmqkit.store``).
"""

from __future__ import annotations

from rmqkit.forensics.locate import LIMIT, locate
from rmqkit.forensics.places import Kind, LogPlace, Place, ReplicaView, Told, classify
from rmqkit.forensics.words import Places

__all__ = ["LIMIT", "Kind", "LogPlace", "Place", "Places", "ReplicaView", "Told", "classify", "locate"]
