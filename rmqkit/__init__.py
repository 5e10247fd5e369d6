"""rmqkit: real Apache RocketMQ DLedger clusters from source, broken on purpose, and what their users may rely on."""

from __future__ import annotations

__version__ = "0.1.0"

__all__ = ["__version__"]
