"""Holds the documents against the code (commands, options, variables, fixtures, links), and one README to the other.

What belongs here: what can be checked by reading, without Docker and without running a command. What does not:
whether a command does what a document says. Each check is shown bad texts that it must catch.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

import rmqkit.fixtures as plugin
from rmqkit.cli.app import app
from rmqkit.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
README, README_ZH = ROOT / "README.md", ROOT / "README.zh-CN.md"
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
LINE_LIMIT = 400

# Other tools' options that documents name by themselves, each with the tool.
FOREIGN_OPTIONS = {"--wait": "docker compose up", "--strict-markers": "pytest"}
# Hosts that a document may link to. Anything else is a registry, a mirror or a mistake.
LINKED_HOSTS = {"github.com", "keepachangelog.com", "semver.org"}
REGISTRY = re.compile(
    r"\b([a-z0-9-]+\.)*(pypi|pythonhosted|docker|quay|ghcr|gcr|debian|ubuntu|npmjs|crates|golang|maven|apache)"
    r"\.(org|io|com|dev|net)\b|\b(artifactory|nexus|mirrors?|registry|proxy)\.[a-z0-9-]+\.[a-z]{2,}\b",
    re.IGNORECASE,
)
MACHINE_PATH = re.compile(r"(?<![\w.])/(work|root|home|Users|builds?)/|/tmp/")

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"(?<!`)`([^`\n]+(?:\n[^`\n]+)?)`(?!`)")
LINK = re.compile(r"\[[^\]\n]*(?:\n[^\]\n]*)?\]\(([^)\s]+)\)")


def prose(text: str) -> str:
    """The text without fenced blocks."""
    return FENCE.sub("", text)


def code_lines(text: str) -> list[str]:
    """Every command line that a document shows: lines of bash blocks (continuations joined), and code spans."""
    lines = []
    for language, body in FENCE.findall(text):
        if language == "bash":
            lines += body.replace("\\\n", " ").splitlines()
    return lines + [" ".join(span.split()) for span in SPAN.findall(prose(text))]


def invocations(text: str, program: str) -> Iterator[list[str]]:
    """The words after ``program`` wherever it is called, up to the end of that command."""
    for line in code_lines(text):
        try:
            lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
            lexer.whitespace_split = True
            words = list(lexer)
        except ValueError:
            continue
        for at, word in enumerate(words):
            if word.removeprefix(".venv/bin/") == program and (at == 0 or _begins_command(words[:at])):
                rest = words[at + 1 :]
                end = next((i for i, each in enumerate(rest) if set(each) <= set("|&;<>()")), len(rest))
                yield rest[:end]


def _begins_command(before: list[str]) -> bool:
    """Whether what comes next is a command's name: at a line's start, after a separator or after VAR=value."""
    return set(before[-1]) <= set("|&;()$") or bool(re.fullmatch(r"[A-Z_]+=.*", before[-1]))


# ---- what exists -------------------------------------------------------------------------------------------------


def cli_commands() -> dict[str, tuple[set[str], int]]:
    """Each subcommand of ``rmqkit``: its options, and how many arguments it takes; the program itself has no name.

    A command of a command has both names: ``load produce``.
    """
    return {name: _options_of(command) for name, command in _commands()}


def _commands() -> Iterator[tuple[str, Any]]:
    ahead: list[tuple[str, Any]] = [("", typer.main.get_command(app))]
    while ahead:
        name, command = ahead.pop()
        yield name, command
        ahead += [(f"{name} {each}".strip(), below) for each, below in getattr(command, "commands", {}).items()]


def _options_of(command: Any) -> tuple[set[str], int]:
    options, arguments = {"--help"}, 0
    for parameter in command.params:
        if parameter.param_type_name == "argument":
            arguments += 1 if parameter.nargs == 1 else 99
        else:
            options.update((*parameter.opts, *parameter.secondary_opts))
    return options, arguments


def flags() -> set[str]:
    """Options of ``rmqkit`` that take no value."""
    return {"--help"} | {
        opt for _, command in _commands() for p in command.params if getattr(p, "is_flag", False) for opt in p.opts
    }


class _Parser:
    """Stands in for pytest's: remembers the names of options and ini entries."""

    def __init__(self) -> None:
        self.options: set[str] = set()
        self.ini: set[str] = set()

    def getgroup(self, *_: object) -> _Parser:
        return self

    def addoption(self, *names: str, **_: object) -> None:
        self.options.update(names)

    def addini(self, name: str, *_: object, **__: object) -> None:
        self.ini.add(name)


def plugin_names() -> _Parser:
    """What the pytest plugin registers."""
    parser = _Parser()
    plugin.pytest_addoption(parser)  # type: ignore[arg-type]
    return parser


def script_options(script: Path) -> set[str]:
    """The long options that a script of ours speaks of."""
    return set(re.findall(r"--[a-z][a-z-]+", script.read_text(encoding="utf-8")))


def variables() -> set[str]:
    """Every ``RMQ_…`` and ``RMQKIT_…`` that the Compose file, the image, the scripts or the settings read."""
    sources = [ROOT / "compose" / "docker-compose.dledger.yml"]
    sources += [*(ROOT / "images").rglob("*"), *(ROOT / "scripts").rglob("*")]
    text = "\n".join(path.read_text(encoding="utf-8", errors="replace") for path in sources if path.is_file())
    settings = {f"RMQKIT_{name.removesuffix('_s').upper()}" for name in Settings.__dataclass_fields__}
    return settings | set(re.findall(r"\bRMQ(?:KIT)?_[A-Z0-9_]*[A-Z0-9]\b", text))


# ---- the checks: each returns what is wrong with a text ----------------------------------------------------------


def wrong_commands(text: str) -> list[str]:
    """``rmqkit`` subcommands, options and arguments that do not exist."""
    commands, without_value, wrong = cli_commands(), flags(), []
    for words in invocations(text, "rmqkit"):
        shown = " ".join(["rmqkit", *words])
        name = words[0] if words and not words[0].startswith("-") else ""
        if f"{name} {' '.join(words[1:2])}" in commands:
            name = f"{name} {words[1]}"
        if name not in commands:
            wrong.append(f"{shown}: there is no command {name!r}")
            continue
        options, most = commands[name]
        rest, given = iter(words[len(name.split()) :]), 0
        for word in rest:
            option, _, value = word.partition("=")
            if not word.startswith("-"):
                given += 1
            elif option not in options:
                wrong.append(f"{shown}: there is no option {option}")
                break
            elif not value and option not in without_value:
                # Nothing may follow: where a sentence only names the option.
                next(rest, None)
        else:
            if given > most:
                wrong.append(f"{shown}: takes {most} arguments")
    return wrong


def wrong_scripts(text: str) -> list[str]:
    """Scripts that do not exist, or have no such option."""
    wrong = []
    for line in code_lines(text):
        for name, rest in re.findall(r"(?<![\w/])(scripts/[\w-]+)([^|;&#`]*)", line):
            if not (ROOT / name).is_file():
                wrong.append(f"{name} does not exist")
                continue
            known = script_options(ROOT / name)
            if name == "scripts/drill":
                known |= cli_commands()["drill"][0]
            given = re.findall(r"(?<![\w-])--[a-z][a-z-]+", rest.partition(" -- ")[0])
            wrong += [f"{name} has no option {option}" for option in given if option not in known]
    return wrong


def wrong_options(text: str) -> list[str]:
    """Options named by themselves that neither the command line, the plugin, a script nor a known tool has."""
    known = {option for options, _ in cli_commands().values() for option in options} | plugin_names().options
    known |= set(FOREIGN_OPTIONS) | {"--all", "--quick"}
    for script in (ROOT / "scripts").glob("*"):
        known |= script_options(script) if script.is_file() else set()
    named = [match for span in SPAN.findall(prose(text)) for match in re.findall(r"^(--[a-z-]*[a-z])(?![\w*-])", span)]
    named += re.findall(r"(?<![\w-])(--rmq-[a-z-]*[a-z])(?![\w*-])", text)
    return [f"{option} is nobody's option" for option in named if option not in known]


def wrong_names(text: str) -> list[str]:
    """Variables, fixtures and ini entries that nothing reads."""
    named = set(re.findall(r"\bRMQ(?:KIT)?_[A-Z0-9_]*[A-Z0-9]\b(?!_)", text)) - variables()
    wrong = [f"{name}: nothing reads this variable" for name in sorted(named) if not name.startswith("RMQ_CONF")]
    fixtures = {name for name in plugin.__all__ if name.startswith("rmq_")} | plugin_names().ini
    unknown = set(re.findall(r"\brmq_[a-z_]+\b", text)) - fixtures
    return wrong + [f"{name} is neither a fixture nor an ini entry" for name in sorted(unknown)]


def anchors(text: str) -> set[str]:
    """The anchors of a document's headings, as GitHub makes them."""
    found = set()
    for title in re.findall(r"^#+ (.+)$", prose(text), re.MULTILINE):
        plain = re.sub(r"[`*]|\[|\]\([^)]*\)", "", title).strip().lower()
        found.add(re.sub(r"[^\w\- ]", "", plain).replace(" ", "-"))
    return found


def wrong_links(text: str, document: Path) -> list[str]:
    """Relative links that lead nowhere, and hosts that are not on the list."""
    wrong = []
    for target in LINK.findall(prose(text)):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        path = (document.parent / name).resolve() if name else document
        if not path.exists() or ROOT not in (path, *path.parents):
            wrong.append(f"{target}: there is no such file")
        elif anchor and anchor not in anchors(text if path == document else path.read_text(encoding="utf-8")):
            wrong.append(f"{target}: there is no such heading")
    hosts = set(re.findall(r"https?://([^/\s)\"'`]+)", text)) - LINKED_HOSTS
    return wrong + [f"{host}: not a host that documents link to" for host in sorted(hosts)]


def private_names(text: str) -> list[str]:
    """Hosts of registries and mirrors, and paths of one machine."""
    without_links = re.sub(r"https?://(?:" + "|".join(map(re.escape, LINKED_HOSTS)) + r")\S*", "", text)
    hosts = [match.group(0) for match in REGISTRY.finditer(without_links)]
    return [f"{host}: a registry's host name" for host in hosts] + [
        f"{match.group(0)}: a path of one machine" for match in MACHINE_PATH.finditer(text)
    ]


def shape(text: str) -> dict[str, list[Any]]:
    """What two translations must have in common, in order (within a cell of a table the order may change)."""
    outside = prose(text)
    rows = re.findall(r"^\|.*\|$", outside, re.MULTILINE)
    return {
        "headings": [len(marks) for marks in re.findall(r"^(#+) ", outside, re.MULTILINE)],
        "code blocks": FENCE.findall(text),
        "list items": re.findall(r"^(- |\d+\. )", outside, re.MULTILINE),
        "table rows": [row.count("|") for row in rows],
        "commands in tables": [sorted(SPAN.findall(row)) for row in rows],
        "links": [link for link in LINK.findall(outside) if not link.startswith(("#", "README"))],
    }


def differences(text: str, translation: str) -> list[str]:
    """Where a translation is not of the same shape."""
    ours, theirs = shape(text), shape(translation)
    return [f"{what} differ: {ours[what]} / {theirs[what]}" for what in ours if ours[what] != theirs[what]]


# ---- the documents -----------------------------------------------------------------------------------------------


def test_the_documents_are_there() -> None:
    names = {path.relative_to(ROOT).as_posix() for path in DOCUMENTS}
    topics = ("fixtures", "status", "images", "compose", "verdict")
    assert names >= {
        "README.md",
        "README.zh-CN.md",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        *(f"docs/{t}.md" for t in topics),
    }


def test_the_readme_names_every_command() -> None:
    called = [words for words in invocations(README.read_text(encoding="utf-8"), "rmqkit") if words]
    named = {words[0] for words in called} | {" ".join(words[:2]) for words in called}
    assert named >= set(cli_commands()) - {""}


def test_the_fixtures_page_names_every_fixture_option_and_ini_entry() -> None:
    page = (ROOT / "docs" / "fixtures.md").read_text(encoding="utf-8")
    parser = plugin_names()
    wanted = {name for name in plugin.__all__ if name.startswith("rmq_")} | parser.options | parser.ini
    assert not {name for name in wanted if f"`{name}`" not in page}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_document_says_only_what_exists(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    wrong = [*wrong_commands(text), *wrong_scripts(text), *wrong_options(text), *wrong_names(text)]
    wrong += [*wrong_links(text, document), *private_names(text)]
    assert not wrong, "\n".join([f"{document.relative_to(ROOT)}:", *wrong])
    assert len(text.splitlines()) < LINE_LIMIT


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_blocks_are_closed_and_python_and_settings_in_them_are_readable(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    assert text.count("\n```") % 2 == 0, "a code block is not closed"
    for language, body in FENCE.findall(text):
        if language == "python":
            compile(body, str(document), "exec")
        if language in ("yaml", "yml"):
            yaml.safe_load(body)


def test_both_readmes_have_the_same_shape() -> None:
    assert not differences(README.read_text(encoding="utf-8"), README_ZH.read_text(encoding="utf-8"))


def test_the_readmes_link_to_each_other() -> None:
    assert "(README.zh-CN.md)" in README.read_text(encoding="utf-8")
    assert "(README.md)" in README_ZH.read_text(encoding="utf-8")


# ---- that each check can fail ------------------------------------------------------------------------------------

BAD: list[tuple[str, str]] = [
    ("`rmqkit stats`", "there is no command 'stats'"),
    ("`rmqkit status --jsn`", "there is no option --jsn"),
    ("`rmqkit render a.yaml b.yaml`", "takes 1 arguments"),
    ("`rmqkit load make`", "takes 0 arguments"),
    ("`rmqkit load consume --rate 5`", "there is no option --rate"),
    ("```bash\nrmqkit up -e 4.9.8 && rmqkit explode\n```", "there is no command 'explode'"),
    ("```bash\nX=1 .venv/bin/rmqkit drill \\\n    --speed 3\n```", "there is no option --speed"),
    ("run `scripts/drll` first", "scripts/drll does not exist"),
    ("```bash\nscripts/test --fast\n```", "scripts/test has no option --fast"),
    ("with `--kepp` it stays", "--kepp is nobody's option"),
    ("```bash\npytest --rmq-editon 4.9.8\n```", "--rmq-editon is nobody's option"),
    ("set `RMQKIT_CA_BUNDEL`", "RMQKIT_CA_BUNDEL: nothing reads this variable"),
    ("set `RMQ_BROKER_HAEP=8g`", "RMQ_BROKER_HAEP: nothing reads this variable"),
    ("```python\ndef test_x(rmq_kill_laeder): ...\n```", "rmq_kill_laeder is neither"),
    ("see [there](docs/nowhere.md)", "docs/nowhere.md: there is no such file"),
    ("see [there](docs/verdict.md#no-such-part)", "there is no such heading"),
    ("see [below](#no-such-part)", "there is no such heading"),
    ("[out](../../etc/passwd)", "there is no such file"),
    ("[a page](https://example.invalid/x)", "not a host that documents link to"),
    ("taken from registry.example.com/base", "a registry's host name"),
    ("as on repo1.maven.org", "a registry's host name"),
    ("look at /root/.m2", "a path of one machine"),
]


@pytest.mark.parametrize(("text", "words"), BAD)
def test_a_wrong_text_is_found_and_named(text: str, words: str) -> None:
    found = [*wrong_commands(text), *wrong_scripts(text), *wrong_options(text), *wrong_names(text)]
    found += [*wrong_links(text, README), *private_names(text)]
    assert len(found) == 1, found
    assert words in found[0]


GOOD = [
    "`rmqkit load`, `rmqkit load produce --rate 500 --json`",
    "`rmqkit status --run=NAME -n 127.0.0.1:9876 --json`",
    "```bash\nRMQKIT_EDITION=4.9.8 rmqkit drill --rate 100 | tee log   # rmqkit nothing\n```",
    "```bash\nscripts/test --all -- -k kill --maxfail 1\n```",
    "[a](docs/compose.md#three-hosts) [b](https://github.com/apache/rocketmq/issues/1464) `--rmq-keep`, `rmq_topic`",
]


@pytest.mark.parametrize("text", GOOD)
def test_a_right_text_is_not_a_finding(text: str) -> None:
    found = [*wrong_commands(text), *wrong_scripts(text), *wrong_options(text), *wrong_names(text)]
    assert found + wrong_links(text, README) + private_names(text) == []


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (("## Editions\n", ""), "headings differ"),
        (("scripts/drill     #", "scripts/drill --all     #"), "code blocks differ"),
        (("`rmqkit build 4.9.8`", "`rmqkit build 4.9.7`"), "commands in tables differ"),
        (("| 3 | verdict INCONCLUSIVE |\n", ""), "table rows differ"),
        (("(docs/status.md)", "(docs/verdict.md)"), "links differ"),
        (("\n- topics exist after", "\n  topics exist after"), "list items differ"),
    ],
)
def test_a_translation_that_fell_behind_is_found(change: tuple[str, str], what: str) -> None:
    text = README.read_text(encoding="utf-8")
    assert change[0] in text
    found = differences(text, text.replace(*change))
    assert any(what in line for line in found), found
