"""A running cluster: the engine that runs it, its images, its readiness, and who leads."""

from __future__ import annotations

from rmqkit.cluster.cluster import Cluster

__all__ = ["Cluster"]
