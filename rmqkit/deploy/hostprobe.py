"""A host as its own engine shows it: a container that ends at once reads the host's /proc and file systems.

What belongs here: the doctor's facts about a machine that the kit does not run on, and its store directories. What
does not: what is wrong with them. Nothing on the host is changed by looking; making store directories is a step of
its own.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from rmqkit.deploy.engines import EngineFacts, HostEngine, last_lines
from rmqkit.deploy.probes import LocalMachine, store_of
from rmqkit.errors import MachineError
from rmqkit.topology.doctor.model import MachineFacts, Member, StoreFacts, identity

_MARK: Final = "== "
_PROC: Final = (
    "net/fib_trie", "net/tcp", "net/tcp6", "meminfo", "sys/net/ipv4/ip_local_port_range",
    "sys/net/ipv4/ip_local_reserved_ports",
)  # fmt: skip
_LOOK: Final = """
for file in {files}; do echo "== proc $file"; cat "/proc/$file" 2>/dev/null; done
echo "== nofile"; ulimit -Hn
echo "== cores"; nproc
for store in "$@"; do
    there="/host$store"
    while [ ! -e "$there" ] && [ "$there" != /host ]; do there=${{there%/*}}; done
    echo "== store $store"; stat -f -c '%T %S %b %a' "$there"
done
"""
_PREPARE: Final = """
status=0
while [ $# -gt 0 ]; do
    owner=$(stat -c %u "$1") || exit 1
    if [ "$owner" = "$2" ]; then :
    elif [ "$owner" = 0 ] && [ -z "$(ls -A "$1")" ]; then chown "$2" "$1" && echo "made $1"
    else echo "taken $1 $owner"; status=3
    fi
    shift 2
done
exit $status
"""
_IN_MEMORY: Final = {"ramfs": "ramfs", "tmpfs": "tmpfs"}


class EngineMachine:
    """One host, asked through its engine; ``image`` is one that is there and has a shell.

    ``ours`` are ports on which containers of the deployment listen already: those are not in anybody's way.
    """

    def __init__(
        self, engine: HostEngine, facts: EngineFacts, *, image: str, ours: frozenset[int] = frozenset()
    ) -> None:
        self._engine = engine
        self._facts = facts
        self._image = image
        self._ours = ours

    def facts(self, members: Sequence[Member]) -> MachineFacts:
        """Everything at once. Raises MachineError naming the host."""
        stores = {store: self._place(store) for member in members if (store := store_of(member))}
        told = _sections(self._looked(sorted(set(stores.values()))))
        with tempfile.TemporaryDirectory(prefix="rmqkit-proc-") as folder:
            proc = Path(folder)
            for name in _PROC:
                (proc / name).parent.mkdir(parents=True, exist_ok=True)
                (proc / name).write_text(told.get(f"proc {name}", ""), encoding="ascii", errors="replace")
            machine = LocalMachine(proc)
            limit = _whole(told.get("nofile", ""), unlimited=2**31 - 1)
            return MachineFacts(
                name=self._engine.host,
                addresses=machine.addresses(),
                memory_mb=machine.memory_mb(),
                cores=_whole(told.get("cores", ""), unlimited=1),
                nofile_hard=limit,
                engine_nofile=limit,
                ephemeral=machine.ephemeral(),
                reserved=machine.reserved(),
                listening=machine.listening() - self._ours,
                stores={
                    store: facts
                    for store, place in stores.items()
                    if (facts := _store(told.get(f"store {place}", ""))) is not None
                },
                clock_synchronised=None,
                here=frozenset(identity(member) for member in members),
            )

    def _place(self, store: str) -> str:
        return store if store.startswith("/") else f"{self._facts.root}/volumes"

    def _looked(self, places: Sequence[str]) -> str:
        script = _LOOK.format(files=" ".join(_PROC))
        result = self._engine.tried(
            *("run", "--rm", "--network", "host", "--pull", "never", "--cap-drop", "ALL"),
            *("--mount", "type=bind,source=/,target=/host,readonly", "--entrypoint", "sh"),
            *(self._image, "-c", script, "look", *places),
        )
        if result.returncode != 0 or f"{_MARK}cores" not in result.stdout:
            raise MachineError(
                f"{self._engine}: the doctor could not look at that host",
                details=last_lines(result.stderr),
                hint=f"it runs a shell in a container of {self._image} there; the lines above are docker's own",
            )
        return result.stdout


def prepare_stores(engine: HostEngine, stores: Mapping[str, int], *, image: str) -> list[str]:
    """Make each directory that is missing, and give it to the user that will write there; which ones that were.

    ``stores`` maps a directory of the host to a uid. One that holds something already is never given away: raises
    MachineError that names it.
    """
    if not stores:
        return []
    mounts, arguments = [], []
    for number, (path, uid) in enumerate(stores.items()):
        mounts += ["--volume", f"{path}:/stores/{number}"]
        arguments += [f"/stores/{number}", str(uid)]
    result = engine.tried(
        *("run", "--rm", "--network", "none", "--pull", "never", "--user", "0:0"),
        *("--cap-drop", "ALL", "--cap-add", "CHOWN", "--cap-add", "DAC_READ_SEARCH", *mounts, "--entrypoint", "sh"),
        *(image, "-c", _PREPARE, "prepare", *arguments),
    )
    paths = list(stores)
    said = [line.split() for line in result.stdout.splitlines()]
    taken = [(paths[int(words[1].rpartition("/")[2])], words[2]) for words in said if words[0] == "taken"]
    if taken:
        raise MachineError(
            f"{engine}: a store directory belongs to somebody else",
            details=[f"{path}: owner {owner}, wanted {stores[path]}" for path, owner in taken],
            hint="if it is this broker's own store, give it over with `chown -R UID PATH` there; if not, name another "
            "`store` for that host",
        )
    if result.returncode != 0:
        raise MachineError(
            f"{engine}: could not make the store directories {', '.join(paths)}",
            details=last_lines(result.stderr),
            hint="the lines above are docker's own; by hand: `install -d -o UID PATH` on that host",
        )
    return [paths[int(words[1].rpartition("/")[2])] for words in said if words[0] == "made"]


def _sections(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for part in re.split(rf"^{_MARK}", text, flags=re.MULTILINE)[1:]:
        name, _, body = part.partition("\n")
        found[name] = body
    return found


def _store(text: str) -> StoreFacts | None:
    words = text.split()
    if len(words) != 4:
        return None
    block = int(words[1])
    return StoreFacts(_IN_MEMORY.get(words[0], words[0]), int(words[2]) * block, int(words[3]) * block)


def _whole(text: str, *, unlimited: int) -> int:
    return int(text) if text.strip().isdigit() else unlimited
