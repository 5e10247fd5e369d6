"""``rmqkit size``: hosts, disks, network and groups for a load, with the working."""

from __future__ import annotations

import json
import re
from dataclasses import asdict

from rmqkit.cli import EXIT_OK
from rmqkit.cli.common import show
from rmqkit.errors import UsageError
from rmqkit.topology.sizing import Load, size

_GIB = 2**30
_MBIT = 1_000_000 / 8
_RETENTION = re.compile(r"([0-9]+(?:\.[0-9]+)?)([hd]?)")


def hours(text: str) -> float:
    """``72h``, ``3d``, ``72`` in hours. Raises :class:`UsageError`."""
    match = _RETENTION.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"--retention {text!r} is no time", hint="write it as 72h or 3d")
    return float(match[1]) * (24 if match[2] == "d" else 1)


def run(load: Load, *, as_json: bool) -> int:
    """Print what it takes."""
    made = size(load)
    if as_json:
        show([json.dumps({"load": asdict(load), **asdict(made)}, indent=2)])
        return EXIT_OK
    show(
        [
            f"hosts        {made.hosts}, and {made.nameservers} NameServers (on three of them, or on three small ones)",
            f"groups       {made.groups} of {load.replicas} replicas: {made.brokers} brokers",
            f"disk         {made.disk_per_host / _GIB:.0f} GiB a host ({made.disk_per_broker / _GIB:.0f} GiB a broker)",
            f"network      {made.leader_in / _MBIT:.0f} Mbit/s into a leader, {made.leader_out / _MBIT:.0f} out of it",
            f"             up to {made.host_out / _MBIT:.0f} Mbit/s out of a host whose brokers all lead",
            "",
            "how",
            *(f"  {line}" for line in made.lines),
            "",
            "docs/scaling.md says where each figure is from, and which of them to replace by your own measurement.",
        ]
    )
    return EXIT_OK
