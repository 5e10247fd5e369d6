"""Promises of what is taken down beside a run's operations: nothing of it ends a run or hides its error."""

from __future__ import annotations

import io
import json
import tarfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rmqkit.errors import EngineError
from rmqkit.faults import Kill, Schedule, Step
from rmqkit.topology.spec import ClusterSpec
from rmqkit.waiting import Pending, wait_until
from rmqkit.witness import StatusMemory, StatusSamples, Witness, copy_logs, witness_folder, witnessed
from rmqkit.witness import logs as copying

SPEC = ClusterSpec.pod(base_port=20000, name="t")
SCHEDULE = Schedule((Step(Kill()),), seed=7)


def packed(**files: bytes) -> list[bytes]:
    """A tar archive as an engine sends it, in chunks that end anywhere."""
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w") as archive:
        folder = tarfile.TarInfo("logs/rocketmqlogs")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for name, content in files.items():
            member = tarfile.TarInfo(f"logs/rocketmqlogs/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    text = whole.getvalue()
    return [text[start : start + 700] for start in range(0, len(text), 700)]


class Cluster:
    """Two services with logs, and a status that can be counted."""

    def __init__(self) -> None:
        self.asked = threading.Semaphore(0)
        self.error: Exception | None = None
        self.members, self.nameservers = self, ("127.0.0.1:1",)
        self.spec: ClusterSpec | None = SPEC
        self.services = ("n0", "namesrv0", "net")
        self.archives = {"n0": packed(**{"broker.log": b"b", "gc-1.log.0.current": b"g", "stats.log": b"s"})}
        self.archives["namesrv0"] = packed(**{"namesrv.log": b"n", "namesrv_default.log": b""})
        self.engine: Any = SimpleNamespace(logs=self._console, client=SimpleNamespace(api=self))

    def container_of(self, service: str) -> str:
        return service

    def _console(self, container: str, *, tail: int) -> list[str]:
        assert tail > 0
        if self.error is not None:
            raise self.error
        return [f"{container} says é"]

    def get_archive(self, container: str, path: str) -> tuple[Iterator[bytes], None]:
        assert path == "/var/lib/rocketmq/logs"
        if self.error is not None:
            raise self.error
        return iter(self.archives[container]), None

    def status(self) -> Any:
        self.asked.release()
        if self.error is not None:
            raise self.error
        return SimpleNamespace(as_dict=lambda: {"healthy": True})


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Any:
    found = Cluster()
    monkeypatch.setattr("rmqkit.witness.status.ask", lambda _pool, members, _nameservers: members.status())
    return found


@pytest.fixture
def witness(tmp_path: Path) -> Witness:
    return Witness(tmp_path)


def samples(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "status.jsonl").read_text().splitlines()]


def test_specification_schedule_status_and_logs_are_kept(cluster: Any, witness: Witness) -> None:
    with witnessed(cluster, witness, schedule=SCHEDULE):
        pass
    assert ClusterSpec.from_json((witness.folder / "spec.json").read_text()) == SPEC
    assert Schedule.parse((witness.folder / "schedule.json").read_text()) == SCHEDULE
    assert [each["healthy"] for each in samples(witness.folder)] == [True, True], "one at the beginning, one at the end"
    logs = {path.relative_to(witness.folder / "logs").as_posix(): path.read_text("utf-8") for path in _files(witness)}
    assert logs == {
        "n0/console.log": "n0 says é\n",
        "n0/broker.log": "b",
        "n0/gc-1.log.0.current": "g",
        "namesrv0/console.log": "namesrv0 says é\n",
        "namesrv0/namesrv.log": "n",
    }
    assert witness.trouble == []


def _files(witness: Witness) -> list[Path]:
    return [path for path in (witness.folder / "logs").rglob("*") if path.is_file()]


def test_samples_go_on_while_the_run_does_and_stand_in_order(cluster: Any, tmp_path: Path) -> None:
    with StatusSamples(cluster, tmp_path / "status.jsonl", every_s=0.01):
        for _ in range(4):
            assert cluster.asked.acquire(timeout=10)
    found = samples(tmp_path)
    assert len(found) >= 5
    assert [each["at_ns"] for each in found] == sorted(each["at_ns"] for each in found)


def test_a_sample_is_on_disk_as_soon_as_it_was_taken(cluster: Any, tmp_path: Path) -> None:
    def there() -> bool | Pending:
        path = tmp_path / "status.jsonl"
        return (path.exists() and path.read_text().endswith("\n")) or Pending("not yet")

    with StatusSamples(cluster, tmp_path / "status.jsonl", every_s=60):
        wait_until(there, label="the first sample", timeout_s=10, every_s=0.01)


def test_what_cannot_be_had_is_told_and_hides_no_error(cluster: Any, witness: Witness) -> None:
    cluster.error = EngineError("the engine is gone")
    with pytest.raises(KeyError, match="the run's own"), witnessed(cluster, witness):
        raise KeyError("the run's own")
    assert all("EngineError: the engine is gone" in each["error"] for each in samples(witness.folder))
    assert [line for line in witness.trouble if "n0" in line] == [
        "the console of n0 could not be read: the engine is gone",
        "the log files of n0 could not be read: the engine is gone",
    ]
    assert not (witness.folder / "schedule.json").exists()


def test_a_folder_that_cannot_be_written_ends_no_run(cluster: Any, tmp_path: Path) -> None:
    witness = Witness(tmp_path / "gone")
    with witnessed(cluster, witness):
        pass
    assert len(witness.trouble) >= 2
    assert all("could not be written" in line for line in witness.trouble)


def test_of_a_long_file_the_end_is_kept(cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copying, "MOST_BYTES", 5)
    cluster.archives["n0"] = packed(**{"broker.log": b"0123456789"})
    assert copy_logs(cluster, tmp_path / "logs") == []
    assert (tmp_path / "logs" / "n0" / "broker.log").read_bytes() == b"56789"


def test_an_archive_that_is_cut_is_told(cluster: Any, tmp_path: Path) -> None:
    cluster.archives["n0"] = [b"no archive at all" * 100]
    (trouble,) = copy_logs(cluster, tmp_path / "logs")
    assert trouble.startswith("the log files of n0 could not be read: ")
    assert (tmp_path / "logs" / "namesrv0" / "namesrv.log").exists()


def test_a_cluster_that_is_only_attached_to_has_a_status_and_no_more(cluster: Any, witness: Witness) -> None:
    cluster.engine = cluster.spec = None
    with witnessed(cluster, witness):
        pass
    assert [path.name for path in witness.folder.iterdir()] == ["status.jsonl"]
    assert witness.trouble == []


def test_the_folder_is_gone_afterwards() -> None:
    with witness_folder() as witness:
        (witness.folder / "x").write_text("x")
    assert not witness.folder.exists()


# ---- in memory


def test_the_last_samples_are_kept_and_no_more(cluster: Any) -> None:
    memory = StatusMemory(cluster, every_s=0.001, most=3)
    memory.start()
    for _ in range(6):
        assert cluster.asked.acquire(timeout=10)
    memory.stop()
    found = [json.loads(line) for line in memory.since(0)]
    assert [each["healthy"] for each in found] == [True] * 3
    assert [json.loads(line) for line in memory.since(time.monotonic_ns())] == found[-1:], "how it stood before"
    assert [json.loads(line) for line in memory.since(found[2]["at_ns"] + 1)] == found[-2:]
    while cluster.asked.acquire(blocking=False):
        pass
    assert not cluster.asked.acquire(timeout=0.05), "nobody is asked any more"


def test_a_sample_that_fails_is_a_line_that_says_so(cluster: Any) -> None:
    cluster.error = EngineError("the engine is gone")
    memory = StatusMemory(cluster)
    memory.start()
    assert cluster.asked.acquire(timeout=10)
    memory.stop()
    assert [json.loads(line)["error"] for line in memory.since(0)] == ["EngineError: the engine is gone"]
