"""The page: figures drawn, tables filled, one HTML file that needs nothing else."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from rmqkit.checks import Verdict
from rmqkit.report.analysis import Analysis
from rmqkit.report.canvas import COLOURS, NARROW, WIDE, fixed_settings, plain, png, svg
from rmqkit.report.evidence import Evidence, reading_summary
from rmqkit.report.facts import consumption_table, files_table, phases_table, run_facts, tiles, traffic_tables
from rmqkit.report.figures import OUTAGE_NOTE, FigureBlock, figures, outage_table

HERE = Path(__file__).parent
TEMPLATE, STYLE = "page.html.jinja", "page.css"


@dataclass(frozen=True, slots=True)
class PlacedFigure:
    """A figure with its drawings: for a wide page and for a narrow one."""

    block: FigureBlock
    wide: Markup
    narrow: Markup


def drawn(evidence: Evidence, verdict: Verdict | None, remark: str) -> dict[str, bytes]:
    """Every file that is made from the evidence: its name and its bytes, the same for the same evidence."""
    run = Analysis(evidence.history, evidence.summary)
    files: dict[str, bytes] = {}
    placed = []
    for block in figures(run):
        with fixed_settings(f"rmqkit-{block.name}"):
            alone = svg(block.draw(WIDE))
            files[f"plots/{block.name}.svg"] = alone.encode()
            files[f"plots/{block.name}.png"] = png(block.draw(WIDE))
        with fixed_settings(f"rmqkit-{block.name}-narrow"):
            narrow = svg(block.draw(NARROW))
        placed.append(PlacedFigure(block, inline(alone, block.alt), inline(narrow, block.alt)))
    files["index.html"] = page(evidence, verdict, remark, run, placed).encode()
    return files


def page(evidence: Evidence, verdict: Verdict | None, remark: str, run: Analysis, placed: list[PlacedFigure]) -> str:
    """The HTML text. Raises UsageError for a summary whose figures are not what its format says."""
    summary = evidence.summary
    environment = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_visible,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    with reading_summary("produced"):
        traffic = list(traffic_tables(summary))
    with reading_summary("consumed"):
        consumption = consumption_table(summary)
    shown = {figure.block.name for figure in placed}
    return environment.get_template(TEMPLATE).render(
        style=Markup(style()),  # noqa: S704 - our own file
        title=evidence.title,
        evidence=evidence,
        verdict=verdict,
        remark=remark,
        tiles=list(tiles(run)),
        facts=list(run_facts(evidence, run)),
        build=str(build) if (build := _of(summary.get("cluster"), "build")) else "",
        command=" ".join(shlex.quote(plain(word)) for word in evidence.command),
        notes=[str(note) for note in summary.get("notes") or ()],
        phases=phases_table(run),
        figures=placed,
        outages=None if "outages" in shown or not run.outages else outage_table(run),
        outage_note=OUTAGE_NOTE,
        traffic=traffic,
        consumption=consumption,
        files=files_table(evidence),
    )


def _of(found: Any, name: str) -> Any:
    return found.get(name) if isinstance(found, Mapping) else None


def style() -> str:
    """The page's CSS with the colours of both grounds."""
    light, dark = ("".join(f"--{name}:{tones[ground]};" for name, tones in COLOURS.items()) for ground in (0, 1))
    text = (HERE / STYLE).read_text(encoding="utf-8")
    return text.replace("/*light*/", light).replace("/*dark*/", dark)


def _visible(value: Any) -> Any:
    """What the run's own text may hold that HTML must not: control characters, made visible."""
    return plain(value) if isinstance(value, str) and not isinstance(value, Markup) else value


_HEAD = re.compile(r"\A.*?(?=<svg )", re.DOTALL)
_ID = re.compile(r' id="([^"]*)"')
_REFERENCE = re.compile(r'href="#([^"]+)"|url\(#([^)]+)\)')
_NAMESPACE = re.compile(r' xmlns(?::\w+)?="[^"]*"| version="[^"]*"| (?:width|height)="[\d.]+pt"(?= )')
_COLOUR = re.compile(r"(fill|stroke)(: ?|=\")(#[0-9a-f]{6})\b")
_TONES = {tones[0]: name for name, tones in COLOURS.items()}


def inline(document: str, alt: str) -> Markup:
    """An SVG document as a part of the page: no address in it, no name that another figure has, the page's colours."""
    body = _HEAD.sub("", document)
    head, rest = body.split(">", 1)
    head = re.sub(r' (?:width|height)="[^"]*"', "", _NAMESPACE.sub("", head))
    wanted = {first or second for first, second in _REFERENCE.findall(rest)}
    rest = _ID.sub(lambda found: found[0] if found[1] in wanted else "", rest).replace("xlink:href=", "href=")
    rest = re.sub(r"<metadata>.*?</metadata>\s*", "", rest, flags=re.DOTALL)
    rest = _COLOUR.sub(_toned, rest)
    label = Markup.escape(plain(alt))
    return Markup(f'{head} role="img" aria-label="{label}">{rest.strip()}')  # noqa: S704 - matplotlib escapes its text


def _toned(found: re.Match[str]) -> str:
    name = _TONES.get(found[3])
    return f"{found[1]}{found[2]}var(--{name})" if name and found[2].startswith(":") else found[0]
