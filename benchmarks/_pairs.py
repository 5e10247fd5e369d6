"""What the benchmarks share: options, paired rounds, and how figures are printed."""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence

from rmqkit.cluster.images import DEFAULT_EDITION


def options(doc: str, *, rounds: int) -> argparse.Namespace:
    """``--edition`` and ``--rounds``."""
    parser = argparse.ArgumentParser(description=doc)
    parser.add_argument("--edition", default=DEFAULT_EDITION)
    parser.add_argument("--rounds", type=int, default=rounds)
    return parser.parse_args()


def timed(act: Callable[[], object]) -> float:
    """Seconds that ``act`` takes."""
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def row(name: str, seconds: Sequence[float]) -> None:
    """Minimum, median and maximum in milliseconds."""
    low, middle, high = (1000 * value for value in (min(seconds), statistics.median(seconds), max(seconds)))
    print(f"{name:44s} min {low:10.2f}  median {middle:10.2f}  max {high:10.2f} ms  (n={len(seconds)})")


def ratio(name: str, ours: Sequence[float], theirs: Sequence[float]) -> None:
    """Ours over theirs, pair by pair."""
    pairs = [mine / other for mine, other in zip(ours, theirs, strict=True)]
    print(
        f"{name:44s} min {min(pairs):10.4f}  median {statistics.median(pairs):10.4f}  max {max(pairs):10.4f}"
        f"  (n={len(pairs)} pairs)"
    )
