"""``rmqkit build``: an image from source."""

from __future__ import annotations

import re
import time
from functools import partial
from typing import Any

from rmqkit.cli.common import say, settings, show
from rmqkit.cluster.engine import Engine
from rmqkit.cluster.images import DEFAULT_EDITION, BuildRequest, build

# `docker build --progress=plain`: number of the step, seconds, what the step printed.
_PRINTED = re.compile(r"#\d+ \d+\.\d+ \[rmqkit\] ")


def run(*, edition: str | None, refresh: bool, verbose: bool, **options: Any) -> int:
    """Build, and print what was really built."""
    chosen = settings(
        edition=edition,
        build_image=options.pop("build_image"),
        runtime_image=options.pop("runtime_image"),
        ca_bundle=options.pop("ca_bundle"),
        maven_settings=options.pop("maven_settings"),
    )
    request = BuildRequest(
        edition=chosen.edition or DEFAULT_EDITION,
        build_image=chosen.build_image,
        runtime_image=chosen.runtime_image,
        ca_bundle=chosen.ca_bundle,
        maven_settings=chosen.maven_settings,
        refresh=str(time.time_ns()) if refresh else None,
        **options,
    )
    with Engine.connect() as engine:
        say(f"building {request.image} from source; a first build takes one to three minutes")
        started = time.monotonic()

        info = build(request, engine=engine, on_line=partial(_progress, verbose=verbose))
    # A build from the cache runs no step, so the image itself tells why it is not what its name says.
    note = [f"note: {info.note}"] if info.note else []
    show([f"{request.image}: {info}", *note, f"built in {time.monotonic() - started:.1f} s"])
    return 0


def _progress(line: str, *, verbose: bool) -> None:
    """Show a line of the build's output: all of them, or what the build's own scripts say (common.sh)."""
    if verbose:
        say(line)
        return
    _, ours, text = line.partition("[rmqkit] ")
    # BuildKit echoes each command before it runs it; only what a script printed has the mark right after the time.
    if ours and _PRINTED.match(line):
        say(f"  {text.strip()}")
