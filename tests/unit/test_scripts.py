"""The shell scripts without Docker: on a checkout of stand-ins, with `docker`, `python`, `rmqkit` that only take notes.

What is promised: a set-up step that failed is never taken for done, exit codes say who is at fault, a signal reaches
what runs before anything is taken away from under it, and a run that proved nothing is no success.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from rmqkit.cluster.images import BuildRequest

ROOT = Path(__file__).resolve().parents[2]
BASES = ("rmqkit/base-build:jdk8", "rmqkit/base-runtime:jdk8")

ENGINE = """
engine_ensure() { echo engine >>"$NOTES"; }
compose_ensure() { :; }
engine_stop() { echo 'engine stopped' >>"$NOTES"; }
"""

# The system's Python, and the virtual environment's: `-m venv` copies it there, `-m pip` brings rmqkit.
PYTHON = f"""#!/bin/bash
case "$*" in
    '-c '*) exit 0 ;;
    '-m venv '*) mkdir -p "${{@: -1}}/bin" && cp "$0" "${{@: -1}}/bin/python" ;;
    '-m pip '*)
        echo pip >>"$NOTES"
        cp "$STUBS/rmqkit" "$(dirname "$0")/rmqkit"
        exit "${{PIP_CODE:-0}}" ;;
    '-m pytest '*)
        echo "pytest ${{@: -1}}" >>"$NOTES"
        echo "<testsuites><testsuite ${{PYTEST_SUITE-tests='1'}}>$PYTEST_ERROR</testsuite></testsuites>" >"${{3#*=}}"
        [ "$LEFT ${{@: -1}}" != "folder tests/examples" ] || mkdir "$TMPDIR/rmqkit-run-7@1-x"
        [ -z "$LINGER" ] || exec {sys.executable} -c "$LINGER"
        exit "${{PYTEST_CODE:-0}}" ;;
    *) exec {sys.executable} "$@" ;;
esac
"""

STUBS = {
    "python3": PYTHON,
    "rmqkit": f"""#!/bin/bash
echo "rmqkit $1" >>"$NOTES"
[ "$1" != build ] || exit "${{BUILD_CODE:-0}}"
[ -z "$LINGER" ] || exec {sys.executable} -c "$LINGER"
exit "${{DRILL_CODE:-0}}"
""",
    # $HAVE lists the engine's images; with $THERE it holds something of the kit always, $LEFT is there at the end.
    "docker": """#!/bin/bash
echo "docker $*" >>"$NOTES"
[ -z "$DEAD" ] || { echo 'Cannot connect to the Docker daemon' >&2; exit 1; }
case "$*" in
    'image inspect '*) case " $HAVE " in *" $3 "*) ;; *) exit 1 ;; esac ;;
    'pull '*) exit "${PULL_CODE:-0}" ;;
    'ps '* | 'network ls '* | 'volume ls '*)
        [ -z "$THERE" ] || echo "$1 of somebody"
        grep -q '^pytest tests/examples' "$NOTES" || exit 0
        [ "$LEFT" != engine ] || exit 1
        [ "$LEFT" != "$1" ] || echo "$1 left" ;;
esac
""",
    "apt-get": "#!/bin/sh\nexit 100\n",
    "ruff": "#!/bin/sh\n",
    "mypy": "#!/bin/sh\n",
}

# What a test or a drill does when it is interrupted: it takes its time to clean up.
LINGER = """
import os, time
def note(text):
    with open(os.environ["NOTES"], "a") as notes: print(text, file=notes)
note("running")
try:
    time.sleep(30)
except KeyboardInterrupt:
    time.sleep(0.3)
    note("cleaned up")
    raise SystemExit(130)
"""


class Machine:
    """A checkout and the programs around it, all of them stand-ins but the scripts."""

    def __init__(self, at: Path) -> None:
        self.root, self.stubs, self.notes_file, self.temp = at / "root", at / "stubs", at / "notes", at / "tmp"
        self.venv = at / "venv"
        for folder in (self.root / "scripts/lib", self.root / "images/rocketmq", self.stubs, self.temp):
            folder.mkdir(parents=True)
        for name in ("test", "drill", "lib/setup.sh", "lib/engine.sh", "lib/debian.sh"):
            shutil.copy(ROOT / "scripts" / name, self.root / "scripts" / name)
        shutil.copy(ROOT / "images/rocketmq/Dockerfile", self.root / "images/rocketmq")
        (self.root / "pyproject.toml").write_text("[project]\n")
        for name, text in STUBS.items():
            self.program(self.stubs / name, text)
        self.program(
            self.root / "scripts/make-base-image", '#!/bin/sh\necho make-base-image >>"$NOTES"\nexit ${MAKE_CODE:-0}\n'
        )

    @staticmethod
    def program(path: Path, text: str) -> None:
        path.write_text(text)
        path.chmod(0o755)

    def environment(self, **more: str) -> Mapping[str, str]:
        return {
            # /usr/sbin has the machine's own debootstrap.
            "PATH": f"{self.stubs}:/usr/bin:/bin",
            "HOME": str(self.temp),
            "TMPDIR": str(self.temp),
            "RMQKIT_PYTHON": str(self.stubs / "python3"),
            "RMQKIT_VENV": str(self.venv),
            "NOTES": str(self.notes_file),
            "STUBS": str(self.stubs),
            **more,
        }

    def run(self, *command: str, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, check=False, env=self.environment(**env), text=True, capture_output=True, timeout=60
        )

    def with_setup(self, script: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Runs bash with set-up's functions, and without errexit where the scripts have none."""
        return self.run(
            "bash", "-euc", f"set -o pipefail; ROOT={self.root}; . $ROOT/scripts/lib/setup.sh; {script}", **env
        )

    def ready(self) -> Machine:
        """Docker is no matter, and the tools are where scripts/test looks for them."""
        (self.root / "scripts/lib/engine.sh").write_text(ENGINE)
        (self.venv / "bin").mkdir(parents=True)
        for name in ("ruff", "mypy"):
            shutil.copy(self.stubs / name, self.venv / "bin" / name)
        return self

    def script(self, name: str, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        return self.run(str(self.root / "scripts" / name), *arguments, **{"HAVE": " ".join(BASES)} | env)

    @property
    def notes(self) -> list[str]:
        return self.notes_file.read_text().splitlines() if self.notes_file.exists() else []


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


# ---- set-up ---


def test_an_environment_whose_installation_failed_is_made_again(machine: Machine) -> None:
    step = "timed 'Python environment' venv_ensure || exit 9"
    failed = machine.with_setup(step, PIP_CODE="1")
    assert failed.returncode == 4
    assert "pip could not install" in failed.stderr
    assert machine.with_setup(step).returncode == 0
    assert machine.with_setup(step).returncode == 0
    assert machine.notes == ["pip", "pip"]


def test_an_environment_that_lost_its_programs_is_made_again(machine: Machine) -> None:
    assert machine.with_setup("timed x venv_ensure").returncode == 0
    (machine.venv / "bin/rmqkit").unlink()
    assert machine.with_setup("timed x venv_ensure").returncode == 0
    assert machine.notes == ["pip", "pip"]


DEFAULTS = ("maven:3.9-eclipse-temurin-8", "eclipse-temurin:8-jre")


@pytest.mark.parametrize(
    ("env", "pulled", "made"),
    [
        ({"HAVE": " ".join(BASES)}, [], False),
        ({"HAVE": " ".join(DEFAULTS)}, [], False),
        ({"HAVE": f"{BASES[0]} {DEFAULTS[1]}"}, [], False),
        ({}, [DEFAULTS[1], DEFAULTS[0]], False),
        ({"RMQKIT_BUILD_IMAGE": "mine"}, [DEFAULTS[1]], False),
        ({"RMQKIT_BUILD_IMAGE": "mine", "RMQKIT_RUNTIME_IMAGE": "mine too"}, [], False),
        ({"RMQKIT_BUILD_IMAGE": "mine", "PULL_CODE": "1"}, [DEFAULTS[1]], True),
    ],
    ids=["made before", "pulled before", "one of each", "pulled", "build named", "both named", "no registry"],
)
def test_base_images_are_pulled_or_made_only_where_they_are_missing(
    machine: Machine, env: dict[str, str], pulled: list[str], made: bool
) -> None:
    machine.program(machine.stubs / "debootstrap", "#!/bin/sh\n")
    done = machine.with_setup("timed 'base images' base_ensure", **env)
    assert done.returncode == 0, done.stderr
    assert [note.split()[-1] for note in machine.notes if "pull" in note] == pulled
    assert ("make-base-image" in machine.notes) is made


@pytest.mark.parametrize("install", ["", "1"], ids=["may not install", "apt-get fails"])
def test_a_missing_debootstrap_ends_the_set_up(machine: Machine, install: str) -> None:
    done = machine.with_setup("timed x base_ensure || exit 9", PULL_CODE="1", INSTALL_ENGINE=install)
    assert done.returncode == 4, done.stderr
    assert "make-base-image" not in machine.notes


@pytest.mark.parametrize(("arguments", "code"), [((), 4), (("--jdk", "x"), 2), (("--what",), 2)])
def test_making_base_images_tells_wrong_use_from_a_machine_that_lacks_something(
    machine: Machine, arguments: tuple[str, ...], code: int
) -> None:
    done = machine.run(str(ROOT / "scripts/make-base-image"), *arguments, DEAD="1")
    assert done.returncode == code, done.stderr


# ---- the drill ---


@pytest.mark.parametrize("code", [0, 1, 3, 5])
def test_the_drills_exit_code_is_the_verdicts(machine: Machine, code: int) -> None:
    assert machine.ready().script("drill", DRILL_CODE=str(code)).returncode == code
    assert machine.notes[-2:] == ["rmqkit drill", "engine stopped"]


@pytest.mark.parametrize(
    ("env", "code"),
    [
        ({"PIP_CODE": "1"}, 4),
        ({"PIP_CODE": "2"}, 4),
        ({"BUILD_CODE": "1"}, 4),
        ({"BUILD_CODE": "127"}, 4),
        ({"BUILD_CODE": "2"}, 2),
        ({"HAVE": "", "PULL_CODE": "1"}, 4),
    ],
    ids=str,
)
def test_a_set_up_that_failed_is_not_a_verdict(machine: Machine, env: dict[str, str], code: int) -> None:
    machine.program(machine.stubs / "debootstrap", "#!/bin/sh\n")
    done = machine.ready().script("drill", **env, MAKE_CODE="1")
    assert done.returncode == code, done.stderr
    assert "rmqkit drill" not in machine.notes
    assert machine.notes[-1] == "engine stopped"


def signalled(machine: Machine, *command: str, number: signal.Signals, deaf: bool) -> tuple[int, str]:
    """Sends a signal to the script alone once its child runs; exit code and output of the script."""
    if deaf:
        # As a shell starts what is put in the background.
        command = ("sh", "-c", 'trap "" INT; exec "$@"', "sh", *command)
    with subprocess.Popen(
        command,
        env=machine.environment(HAVE=" ".join(BASES), LINGER=LINGER),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        # Whoever runs these tests by nohup has them inherit a SIGHUP that is ignored.
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),  # noqa: PLW1509 - no threads here
    ) as process:
        try:
            deadline = time.monotonic() + 30
            while "running" not in machine.notes and time.monotonic() < deadline:
                time.sleep(0.02)
            time.sleep(0.1)
            os.kill(process.pid, number)
            output, _ = process.communicate(timeout=30)
        finally:
            process.kill()
    return process.returncode, output


SIGNALS = pytest.mark.parametrize(
    ("number", "deaf"),
    [(signal.SIGTERM, False), (signal.SIGTERM, True), (signal.SIGINT, False), (signal.SIGHUP, False)],
    ids=["TERM", "TERM, in the background", "INT", "HUP"],
)


@SIGNALS
def test_an_interrupted_drill_cleans_up_before_its_engine_stops(
    machine: Machine, number: signal.Signals, deaf: bool
) -> None:
    code, output = signalled(machine.ready(), str(machine.root / "scripts/drill"), number=number, deaf=deaf)
    assert code == 130, output
    assert machine.notes[-4:] == ["rmqkit drill", "running", "cleaned up", "engine stopped"]


# ---- scripts/test ---


@SIGNALS
def test_an_interrupted_test_run_ends_there(machine: Machine, number: signal.Signals, deaf: bool) -> None:
    code, output = signalled(machine.ready(), str(machine.root / "scripts/test"), number=number, deaf=deaf)
    assert code == 130, output
    assert machine.notes[-4:] == ["pytest tests/test_layers.py", "running", "cleaned up", "engine stopped"]
    assert output.splitlines()[-1] == "3 passed, 1 failed"


def test_an_interrupted_pytest_ends_the_run(machine: Machine) -> None:
    done = machine.ready().script("test", PYTEST_CODE="2")
    assert done.returncode == 130
    assert len([note for note in machine.notes if note.startswith("pytest")]) == 1


@pytest.mark.parametrize(
    ("env", "last"),
    [
        ({}, "4 passed, 0 failed"),
        ({"PYTEST_SUITE": "tests='5' failures='1' errors='1' skipped='1'", "PYTEST_CODE": "1"}, "5 passed, 3 failed"),
        ({"PYTEST_SUITE": "tests='3' skipped='3'"}, "3 passed, 3 failed"),
        ({"PYTEST_SUITE": "tests='5' skipped='1'"}, "7 passed, 1 failed"),
        ({"PYTEST_SUITE": "", "PYTEST_CODE": "5"}, "3 passed, 1 failed"),
        (
            {
                "PYTEST_SUITE": "tests='1' errors='1'",
                "PYTEST_ERROR": "<testcase><error message='collection failure'/></testcase>",
                "PYTEST_CODE": "2",
            },
            "3 passed, 1 failed",
        ),
        ({"PIP_CODE": "1"}, "0 passed, 1 failed"),
    ],
    ids=[
        "passes",
        "failures",
        "all skipped",
        "one skipped",
        "nothing collected",
        "a file that does not load",
        "set-up fails",
    ],
)
def test_a_run_ends_with_its_counts(machine: Machine, env: dict[str, str], last: str) -> None:
    done = machine.ready().script("test", "--quick", **env)
    assert done.stdout.splitlines()[-1] == last
    assert (done.returncode == 0) is last.endswith(" 0 failed"), done.stderr


def test_a_set_up_that_fails_late_is_counted_and_named(machine: Machine) -> None:
    machine.program(machine.stubs / "debootstrap", "#!/bin/sh\n")
    done = machine.ready().script("test", HAVE="", PULL_CODE="1", MAKE_CODE="1")
    assert done.returncode == 4
    assert done.stdout.splitlines()[-1] == "4 passed, 1 failed"
    assert "failed: base images" in done.stdout


@pytest.mark.parametrize("there", ["", "1"], ids=["nothing before", "something before"])
@pytest.mark.parametrize("left", ["", "ps", "network", "volume", "folder", "engine"])
def test_what_is_left_behind_is_a_failure_and_a_dead_engine_no_proof(machine: Machine, left: str, there: str) -> None:
    if there:
        (machine.temp / "rmqkit-run-6@1-of-somebody").mkdir()
    done = machine.ready().script("test", LEFT=left, THERE=there)
    assert ("failed: nothing is left behind" in done.stdout) is bool(left), done.stdout
    assert "of somebody" not in done.stdout
    assert done.stdout.splitlines()[-1].endswith(f", {int(bool(left))} failed")
    assert done.returncode == int(bool(left))


# ---- the image's sources ---


def test_looking_again_gives_the_build_something_new() -> None:
    assert "REFRESH" not in BuildRequest(edition="4.9.8").arguments()
    assert BuildRequest(edition="4.9.8", refresh="7").arguments()["REFRESH"] == "7"


@pytest.mark.parametrize("source", ["git", "auto"])
def test_a_token_in_a_repositorys_url_is_neither_shown_nor_kept(machine: Machine, source: str) -> None:
    build = machine.temp / "build"
    shutil.copytree(ROOT / "images/rocketmq/build", build)
    script = build / "fetch.sh"
    text = script.read_text().replace("/rmqkit/build/", f"{build}/")
    script.write_text(text.replace("/src", f"{machine.temp}/src").replace("/meta", f"{machine.temp}/meta"))
    machine.program(
        machine.stubs / "mvn", "#!/bin/sh\necho '[ERROR] see https://user:to@ken@mirror.invalid/x'\nexit 1\n"
    )
    url = "http://user:to%40ken@127.0.0.1:1/rocketmq.git"
    done = machine.run(
        "sh",
        str(script),
        SOURCE=source,
        ROCKETMQ_URL=url,
        ROCKETMQ_REF="x",
        DLEDGER_URL=url,
        RMQKIT_TMP=str(machine.temp / "run"),
        RMQKIT_M2=str(machine.temp / "m2"),
        RMQKIT_BUILD=str(build),
        no_proxy="127.0.0.1",
    )
    assert done.returncode == 1
    told = done.stdout + done.stderr + (machine.temp / "meta/source.env").read_text()
    assert "http://127.0.0.1:1/rocketmq.git" in told
    assert ("https://mirror.invalid/x" in told) is (source == "auto")
    assert "user" not in told
    assert "ken" not in told
