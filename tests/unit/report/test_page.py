"""Promises of the page: whole, offline, readable without seeing or clicking, and only text where the run gave text."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, get_args, get_type_hints
from xml.etree import ElementTree as ET

import pytest
from report_runs import big, empty, small

from rmqkit.checks import Thresholds, judge
from rmqkit.errors import UsageError
from rmqkit.history import FaultEvent, History
from rmqkit.load.summary import Consumption
from rmqkit.report import page
from rmqkit.report.canvas import COLOURS
from rmqkit.report.evidence import FileFact, gathered

HOSTILE = "</style><script>alert(1)</script>\"'>&$\\frac{x$ \x00\x1b[31m\u2028_ {{ 7 * 7 }} http://evil.example/x.js"
FETCHING = {"src", "href", "xlink:href", "action", "formaction", "data", "poster", "srcset", "background", "xml:base"}
ACTIVE = {
    "script",
    "link",
    "img",
    "iframe",
    "object",
    "embed",
    "image",
    "a",
    "base",
    "foreignobject",
    "form",
    "audio",
    "video",
}
VOID = {"meta", "br", "hr", "img", "link", "input", "col", "wbr"}

PERCENTILES = dict.fromkeys(("mean_ms", "p50_ms", "p90_ms", "p99_ms", "p999_ms", "max_ms"), 1.5) | {"count": 10}
TRAFFIC = {
    "driver": "all", "threads": 4, "sent": 12, "acknowledged": 11, "refused": 1, "unknown": 0, "flow_control": 1,
    "acked_per_s": 5.5, "outage_s": 6.25, "latency": PERCENTILES, "service": PERCENTILES,
}  # fmt: skip
LOAD: dict[str, Any] = {
    "format": 1, "command": "run", "run": "3f2a9c01", "seed": 4711, "topic": "TopicTest", "duration_s": 60.5,
    "options": {"rate": None, "threads": 10, "batch": False}, "cluster": {"nameservers": ["127.0.0.1:1"]},
    "notes": ["short"],
    "produced": {
        "traffic": TRAFFIC, "drivers": [TRAFFIC | {"driver": "built-in"}, TRAFFIC | {"driver": "java"}], "errors": [],
        "processes": 2, "body_bytes": 128, "unsent": 3, "backed_off_s": 0.5, "cpu_us_per_message": 61.2,
    },
    "consumed": {
        "group": "g", "members": 2, "received": 11, "own": 10, "again": 1, "missing": 1, "received_per_s": 5.0,
        "drained": False, "lag": {"n0/0": 1, "n0/1": 0}, "cpu_us_per_message": 30.0,
    },
}  # fmt: skip


class Parsed(HTMLParser):
    """A page's elements and text. Fails on an element that is closed and was not open."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def drawn(
    history: History, summary: dict[str, Any] | None = None, *, judged: bool = True, **more: Any
) -> dict[str, str]:
    """Every text file of a report."""
    verdict = judge(history, Thresholds()) if judged else None
    evidence = gathered(
        history,
        summary or {"format": 1, "command": "drill"},
        thresholds=Thresholds() if judged else None,
        verdict=verdict,
        title=more.pop("title", "A drill"),
        command=more.pop("command", ["rmqkit", "drill", "--rate", "10 000"]),
    )
    evidence = replace(evidence, files={"history.jsonl": FileFact(12_345, "ab" * 32)}, **more)
    files = page.drawn(evidence, verdict, "")
    return {name: content.decode() for name, content in files.items() if not name.endswith(".png")}


@pytest.fixture(scope="module")
def drill() -> dict[str, str]:
    return drawn(small())


@pytest.fixture(scope="module")
def load() -> dict[str, str]:
    return drawn(big(3_000, lasted_s=60), LOAD, judged=False)


@pytest.fixture(scope="module")
def hostile() -> dict[str, str]:
    history = small(sender=f"{HOSTILE}/0", hostile=HOSTILE)
    history.faults += [
        FaultEvent(HOSTILE, step, HOSTILE, small().faults[0].at_ns) for step in ("injected", "odd", "acked")
    ]
    summary = {"format": 1, "command": HOSTILE, "topic": HOSTILE, "notes": [HOSTILE], "cluster": {HOSTILE: [HOSTILE]}}
    return drawn(history, summary, title=HOSTILE, command=[HOSTILE], environment={HOSTILE: HOSTILE})


# ---- what is on it


def test_every_figure_of_a_drill_is_on_its_page_with_words_and_a_table_beside_it(drill: dict[str, str]) -> None:
    found = Parsed(drill["index.html"])
    sections = [attributes["id"] for attributes in found.all("section")]
    figures = ["throughput", "latency", "latency-cdf", "errors"]
    assert sections == ["verdict", "timeline", *figures, "outages", "run", "again"]
    assert sorted(drill) == sorted(["index.html", *(f"plots/{name}.svg" for name in ("phases-1", *figures))])
    drawings = found.all("svg")
    assert len(drawings) == 2 * (len(figures) + 1)
    assert all(each["role"] == "img" and len(each["aria-label"] or "") > 60 for each in drawings)
    assert len(found.all("figure")) == len(found.all("figcaption")) == len(figures) + 1
    (timeline,) = [each for each in drill["index.html"].split("<section") if each.startswith(' id="timeline"')]
    assert (timeline.count("<table"), timeline.count("<figure>")) == (1, 1), "the timeline is drawn beside its table"
    for words in ("built-in: last acknowledgement before", "first acknowledgement after 6.10 s without one", "2 ms"):
        assert words in timeline
    for section in drill["index.html"].split("<section")[3 : 3 + len(figures)]:
        assert section.count("<table") == 1


def test_the_figures_of_a_load_compare_drivers_and_show_lag(load: dict[str, str]) -> None:
    found = Parsed(load["index.html"])
    assert {"outages", "lag", "load"} <= {attributes["id"] for attributes in found.all("section")}
    for words in ("built-in", "java", "native", "test_consumer_group", "measured, not judged", "As the load counted"):
        assert words in found.text


def test_the_page_says_what_was_run_what_came_of_it_and_how_to_judge_it_again(drill: dict[str, str]) -> None:
    text = Parsed(drill["index.html"]).text
    for words in (
        "✓ PASSED", "1 sends of unknown outcome", "rmqkit drill --rate '10 000'", "Raft elected n1", "+5.200 s",
        "no route: no broker has a master (broker id 0)", "80.0 % of 300 sends; 59 refused, 1 unknown", "6.10 s",
        "rmqkit report .", "load_report", "history.jsonl", "12.3 kB", "ab" * 32, "Python CPython",
    ):  # fmt: skip
        assert words in text, words


def test_the_loads_own_figures_are_on_the_page(load: dict[str, str]) -> None:
    text = Parsed(load["index.html"]).text
    for words in (
        "61.2 µs",
        "due but never sent 3",
        "n0/0: 1",
        "drained no",
        "seed 4711",
        "6.25 s",
        "when it was due",
        "short",
    ):
        assert words in text, words


@pytest.mark.parametrize("status", ["FAILED", "INCONCLUSIVE"])
def test_a_verdict_that_is_not_passed_is_said_with_its_findings(status: str) -> None:
    history = small()
    if status == "FAILED":
        history.reader_done("n3", reached_end=True)
    else:
        history.reader_done("n0", reached_end=False, reason="2 gaps <here>")
    text = Parsed(drawn(history)["index.html"]).text
    assert status in text
    assert "Nothing lost" not in text
    assert ("run-0" if status == "FAILED" else "2 gaps <here>") in text


def test_a_run_without_faults_has_no_timeline_and_no_shading() -> None:
    history = small()
    history.faults.clear()
    html = drawn(history)["index.html"]
    assert 'id="timeline"' not in html
    assert "Shaded" not in html
    assert "whole run" in html


def test_what_a_load_cannot_know_is_said_and_draws_its_page_all_the_same() -> None:
    """As in every run whose senders and consumers share a process, and of consumers alone."""
    unknown = [name for name, kind in get_type_hints(Consumption).items() if type(None) in get_args(kind)]
    assert "cpu_us_per_message" in unknown
    consumed = LOAD["consumed"] | dict.fromkeys(unknown)
    page = drawn(big(300, lasted_s=6), {**LOAD, "consumed": consumed}, judged=False)["index.html"]
    assert "processor time a message not known: senders ran in the same process" in Parsed(page).text


def test_an_empty_run_says_so_and_draws_nothing() -> None:
    files = drawn(empty())
    assert list(files) == ["index.html"]
    assert "there is nothing to draw" in files["index.html"]
    assert "INCONCLUSIVE" in files["index.html"]


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("produced", {}),
        ("produced", {**LOAD["produced"], "traffic": {**TRAFFIC, "sent": "many"}}),
        ("produced", {**LOAD["produced"], "drivers": 7}),
        ("consumed", {"group": "g"}),
        ("windows", [{"second": 1}]),
        ("windows", 7),
    ],
)
def test_a_summary_whose_figures_are_not_of_its_format_is_refused_by_name(part: str, value: Any) -> None:
    with pytest.raises(UsageError, match=rf"summary\.json: {part} is not what format 1 says"):
        drawn(small(), {**LOAD, "start_ns": 5, part: value})


@pytest.mark.parametrize(
    ("command", "title"), [("run", "Load: produce and consume, kill-leader"), ("my test", "my test, kill-leader")]
)
def test_a_report_without_a_title_is_headed_by_what_was_run_and_done(command: str, title: str) -> None:
    summary = {"format": 1, "command": command}
    assert gathered(small(), summary, thresholds=None, verdict=None, title="", command=[]).title == title


def test_a_verdict_of_another_version_is_warned_of() -> None:
    history = small()
    verdict = judge(history, Thresholds())
    evidence = gathered(
        history, {"format": 1, "command": "x"}, thresholds=Thresholds(), verdict=verdict, title="", command=[]
    )
    assert "it was FAILED" in page.drawn(evidence, verdict, "it was FAILED")["index.html"].decode()


# ---- offline, safe, seen by everybody


def fetched(html: str) -> list[str]:
    """Everything on a page that would load or run something, or lead elsewhere."""
    found = []
    for name, attributes in Parsed(html).elements:
        if name in ACTIVE:
            found.append(f"<{name}>")
        for attribute, value in attributes.items():
            if attribute in FETCHING and not (value or "").startswith("#"):
                found.append(f"{attribute}={value}")
            if attribute.startswith("on") or (attribute == "http-equiv" and value == "refresh"):
                found.append(attribute)
            if attribute == "style" and re.search(r"url\((?!#)", value or ""):
                found.append(f"style={value}")
    sheets = " ".join(re.findall(r"<style>(.*?)</style>", html, re.DOTALL))
    return found + re.findall(r"@import|url\([^)]*|://", sheets)


@pytest.mark.parametrize("which", ["drill", "load", "hostile"])
def test_nothing_on_the_page_comes_from_elsewhere(which: str, request: pytest.FixtureRequest) -> None:
    html = request.getfixturevalue(which)["index.html"]
    assert fetched(html) == []
    assert "default-src 'none'" in html
    if which != "hostile":
        assert "://" not in html


@pytest.mark.parametrize(
    "bad",
    [
        '<img src="http://x/y.png">',
        "<svg><image xlink:href=https://x></image></svg>",
        "<svg><use href='other.svg#m'/></svg>",
        "<p onclick='x()'></p>",
        "<script>1</script>",
        "<style>@import 'x'</style>",
        "<style>p { background: url(x.png) }</style>",
        "<p style='background: url(x.png)'></p>",
        "<meta http-equiv='refresh' content='0'>",
    ],
)
def test_what_fetches_or_runs_something_is_found(bad: str) -> None:
    assert fetched(bad)


def test_references_within_a_page_are_no_fetching() -> None:
    assert fetched("<svg><use href='#m1'/><g style='clip-path: url(#p)'></g></svg>") == []


def test_references_within_the_page_find_exactly_one_thing(load: dict[str, str]) -> None:
    html = load["index.html"]
    known = re.findall(r'\bid="([^"]+)"', html)
    assert len(known) == len(set(known))
    wanted = set(re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', html))
    assert {first or second for first, second in wanted} <= set(known)
    assert wanted


def test_text_of_the_run_stays_text(hostile: dict[str, str]) -> None:
    html = hostile["index.html"]
    assert "<script" not in html
    assert "\x00" not in html
    assert "\x1b" not in html
    assert "{{ 7 * 7 }}" in html
    text = Parsed(html).text
    assert text.count("<script>alert(1)</script>") > 10
    assert "\N{REPLACEMENT CHARACTER}[31m" in text


@pytest.mark.parametrize("which", ["drill", "load", "hostile"])
def test_every_drawing_is_well_formed_and_small(which: str, request: pytest.FixtureRequest) -> None:
    files = request.getfixturevalue(which)
    for name, text in files.items():
        if name.endswith(".svg"):
            ET.fromstring(text)
            assert len(text) < 200_000, name
    assert len(files) > 4


@pytest.mark.parametrize("ground", [0, 1])
def test_lines_and_text_stand_out_on_both_grounds(ground: int) -> None:
    """WCAG 2: 4.5 to 1 for text, 3 to 1 for what is drawn."""
    surface = COLOURS["surface"][ground]
    for name in ("ink", "muted"):
        assert contrast(COLOURS[name][ground], surface) >= 4.5, name
    for name in ("s1", "s2", "s3", "s4", "s5", "s6", "edge"):
        assert contrast(COLOURS[name][ground], surface) >= 3, name
    assert contrast(COLOURS["s1"][ground], COLOURS["fault"][ground]) >= 3


def contrast(one: str, other: str) -> float:
    def light(tone: str) -> float:
        parts = [int(tone[place : place + 2], 16) / 255 for place in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((light(one), light(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_colours_are_told_apart_by_their_code_so_that_a_page_can_exchange_them(drill: dict[str, str]) -> None:
    tones = [tones[0] for tones in COLOURS.values()]
    assert len(set(tones)) == len(tones)
    drawings = "".join(re.findall(r"<svg .*?</svg>", drill["index.html"], re.DOTALL))
    assert set(re.findall(r"#[0-9a-f]{6}\b", drawings)) == set()
    assert "var(--s1)" in drawings


def test_template_and_style_travel_with_the_package() -> None:
    for name in (page.TEMPLATE, page.STYLE):
        assert (Path(page.__file__).parent / name).is_file()
