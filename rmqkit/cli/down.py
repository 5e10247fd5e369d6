"""``rmqkit down``: take clusters down."""

from __future__ import annotations

from rmqkit.cli.common import choose_run, show
from rmqkit.cluster.engine import Engine
from rmqkit.cluster.lifecycle import take_down
from rmqkit.cluster.owner import find_runs, remove_stale
from rmqkit.cluster.signals import held_back
from rmqkit.errors import NotFoundError


def run(*, run: str | None, everything: bool, stale: bool) -> int:
    """Remove one run, all of them, or what dead owners left."""
    with Engine.connect() as engine, held_back():
        if stale:
            gone = remove_stale(engine)
            show([f"removed the leftovers of {len(gone)} run(s)" + (f": {', '.join(gone)}" if gone else "")])
            return 0
        known = [leftover.run for leftover in find_runs(engine)]
        if everything:
            chosen = known
        elif run is not None:
            if run not in known:
                raise NotFoundError(f"there is no run {run!r}", hint=f"there are: {', '.join(known) or 'none'}")
            chosen = [run]
        else:
            chosen = [known[0]] if len(known) == 1 else [choose_run(None).run]
        for name in chosen:
            take_down(engine, name)
        show([f"took down {', '.join(chosen) or 'nothing: no cluster of the kit is here'}"])
    return 0
