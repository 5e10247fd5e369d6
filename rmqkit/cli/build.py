"""``rmqkit build``: an image from source."""

from __future__ import annotations

import time
from typing import Any

from rmqkit.cli.common import say, settings, show
from rmqkit.cluster.engine import Engine
from rmqkit.cluster.images import DEFAULT_EDITION, BuildRequest, build


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

        def progress(line: str) -> None:
            if verbose:
                say(line)
            elif "rmqkit:" in line:
                say("  " + line.partition("rmqkit:")[2].strip())

        info = build(request, engine=engine, on_line=progress)
    show([f"{request.image}: {info}", f"built in {time.monotonic() - started:.1f} s"])
    return 0
