"""A running cluster: the engine that runs it, its images, its readiness, and who leads."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rmqkit.cluster.cluster import Cluster

__all__ = ["Cluster"]


def __getattr__(name: str) -> object:
    """``Cluster`` at first use: who only asks for status need not import what starts one (PEP 562)."""
    if name == "Cluster":
        from rmqkit.cluster.cluster import Cluster  # noqa: PLC0415

        return Cluster
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
