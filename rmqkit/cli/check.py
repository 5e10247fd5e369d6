"""``rmqkit check``: judge what a run left, from its folder alone."""

from __future__ import annotations

import json
from pathlib import Path

from rmqkit.checks import timeline_lines
from rmqkit.cli.common import say, show
from rmqkit.cli.proof import bounds, check_max_outage
from rmqkit.errors import MachineError, UsageError
from rmqkit.report import Checked, check


def run(*, path: Path, max_outage: float | None, markdown: Path | None, as_json: bool) -> int:
    """The exit code is the verdict's."""
    check_max_outage(max_outage)
    checked = check(path, max_outage_s=max_outage)
    if markdown is not None:
        _append(markdown, checked.markdown())
    show([json.dumps(checked.as_dict(), indent=2)] if as_json else _text(checked))
    for remark in checked.remarks:
        say(f"rmqkit: {remark}")
    return checked.verdict.exit_code


def _text(checked: Checked) -> list[str]:
    numbers = checked.verdict.numbers
    phases = ", ".join(f"{numbers[f'acknowledged_{when}_fault']} {when}" for when in ("before", "during", "after"))
    notes = [str(note) for note in checked.summary.get("notes") or ()]
    return [
        checked.title,
        "",
        *([*timeline_lines(checked.timelines), ""] if checked.timelines else []),
        (
            f"{numbers['sent']} sends: {numbers['acknowledged']} acknowledged ({phases} the faults), "
            f"{numbers['refused']} refused, {numbers['unknown']} unknown"
        ),
        *(bounds(each) for each in checked.outages),
        f"{numbers['read']} messages read back from {numbers['replicas']} replicas",
        *(["", *notes] if notes else []),
        "",
        str(checked.verdict),
    ]


def _append(path: Path, text: str) -> None:
    """What CI systems call their summary is a file that several steps add to."""
    try:
        with path.open("a", encoding="utf-8") as out:
            out.write(text)
    except IsADirectoryError as error:
        raise UsageError(f"{path} is a folder", hint="name a file") from error
    except OSError as error:
        raise MachineError(f"{path} cannot be written: {error.strerror}", hint="name a file in a folder") from error
