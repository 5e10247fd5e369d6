"""The logs of a cluster's processes, those of their garbage collectors among them, as files.

What belongs here: which files a broker and a NameServer write, and bringing them out of their containers, whether these
run or not. What does not: reading them.
"""

from __future__ import annotations

import fnmatch
import io
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from rmqkit.cluster.cluster import Cluster
from rmqkit.cluster.engine import Engine, translated
from rmqkit.errors import RmqkitError
from rmqkit.topology.brokerconf import DATA_DIR
from rmqkit.topology.spec import NET_SERVICE

CONSOLE = "console.log"
WANTED = ("broker*.log", "namesrv*.log", "store*.log", "remoting.log", "gc*")
"""Names in a process's folder of logs. The others are records of water marks, statistics and traffic."""
MOST_BYTES = 8 << 20
"""Of each file its last bytes."""
MOST_LINES = 20_000
"""Of each console its last lines."""


def copy_logs(cluster: Cluster, folder: Path) -> list[str]:
    """Copy every process's logs to a folder of its own in ``folder``; gives a line for each that could not be had.

    ``console.log`` is what the container printed; beside it are the files that RocketMQ and its JVM wrote. Of a long
    one its end is kept. Clusters that are only attached to have none that could be reached. Raises OSError where
    ``folder`` cannot be written.
    """
    trouble: list[str] = []
    if cluster.engine is None:
        return trouble
    for service in cluster.services:
        if service == NET_SERVICE:
            continue
        own = folder / service
        own.mkdir(parents=True)
        container = cluster.container_of(service)
        try:
            lines = cluster.engine.logs(container, tail=MOST_LINES)
            (own / CONSOLE).write_text("\n".join(lines) + "\n", encoding="utf-8")
        except RmqkitError as error:
            trouble.append(f"the console of {service} could not be read: {error.what}")
        try:
            for name, content in log_files(_archive(cluster.engine, container)):
                (own / name).write_bytes(content)
        except (RmqkitError, tarfile.TarError) as error:
            what = error.what if isinstance(error, RmqkitError) else str(error)
            trouble.append(f"the log files of {service} could not be read: {what}")
    return trouble


def _archive(engine: Engine, container: str) -> Iterator[bytes]:
    """The process's folder of logs as the engine packs it; of a container that ended too."""
    with translated(f"copy the log files of {container}"):
        chunks, _ = engine.client.api.get_archive(container, f"{DATA_DIR}/logs")
        yield from chunks


def log_files(archive: Iterable[bytes]) -> Iterator[tuple[str, bytes]]:
    """Name and last bytes of each wanted file of a tar archive, in the order in which they come.

    A running process writes on: a file that grew while it was packed is cut where it was. Raises tarfile.TarError for
    what is no archive.
    """
    with tarfile.open(fileobj=io.BufferedReader(_Stream(archive)), mode="r|") as packed:
        for member in packed:
            name = PurePosixPath(member.name).name
            if not member.isfile() or not any(fnmatch.fnmatchcase(name, wanted) for wanted in WANTED):
                continue
            source = packed.extractfile(member)
            if source is None:
                continue
            content = b""
            while chunk := source.read(1 << 20):
                content = (content + chunk)[-MOST_BYTES:]
            if content:
                yield name, content


class _Stream(io.RawIOBase):
    """Chunks as a file: what is not wanted is never in memory as a whole."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer)  # type: ignore[arg-type]  # what io hands over has the buffer's methods
        while not self._rest:
            try:
                self._rest = next(self._chunks)
            except StopIteration:
                return 0
        size = min(len(view), len(self._rest))
        view[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size
