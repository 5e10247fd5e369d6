"""Clients behind one interface: the kit's own, the native one (librocketmq) and the official Java client.

Importing this room imports no client: :func:`open_producer` and :func:`open_consumer` do, when one is asked for.
"""

from __future__ import annotations

from rmqkit.drivers.interface import (
    BUILT_IN,
    DRIVERS,
    JAVA,
    NATIVE,
    DriverConsumer,
    DriverProducer,
    Received,
    Target,
)
from rmqkit.drivers.registry import open_consumer, open_producer

__all__ = [
    "BUILT_IN",
    "DRIVERS",
    "JAVA",
    "NATIVE",
    "DriverConsumer",
    "DriverProducer",
    "Received",
    "Target",
    "open_consumer",
    "open_producer",
]
