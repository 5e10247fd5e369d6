"""Options that several commands have, with their words."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Edition = Annotated[
    str | None,
    typer.Option("--edition", "-e", help="store_with_dledger (default), 4.5.1, 4.9.8, 5.3.2, any version or git ref"),
]
Namesrv = Annotated[
    str | None, typer.Option("--namesrv", "-n", help="NameServers of a running cluster: host:port;host:port")
]
Run = Annotated[str | None, typer.Option("--run", help="a cluster of the kit that is up, by its run name")]
Timeout = Annotated[float | None, typer.Option("--timeout", help="seconds for each wait (default 90)")]
AsJson = Annotated[bool, typer.Option("--json", help="print JSON instead of tables")]
MaxOutage = Annotated[
    float | None, typer.Option("--max-outage", help="seconds; FAILED if nothing is acknowledged for longer")
]
Rate = Annotated[float, typer.Option(help="sends per second")]
Threads = Annotated[int, typer.Option(help="sending threads")]
HistoryFile = Annotated[Path | None, typer.Option(help="write every operation to this file as JSON lines")]
ReportFolder = Annotated[
    Path | None, typer.Option(help="write history, figures and a page to read offline into this new folder")
]
Group = Annotated[str | None, typer.Option("--group", "-g", help="the group, where a cluster has several")]
Engines = Annotated[
    list[str] | None,
    typer.Option(
        "--engine",
        help="HOST=ENGINE: where a host's Docker engine is (ssh://…, unix://…, or a Docker context); repeatable",
    ),
]
