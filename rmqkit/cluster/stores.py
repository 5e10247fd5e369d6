"""A broker's store files, brought out of its container's volume, whether the broker runs or not.

What belongs here: a short-lived container beside a peer's, which sees the same volumes. What does not: what the files
mean (``rmqkit.store``).

The engine's own copy (``docker cp``) streams every byte of a file, and a store's files are mostly holes: 160 MB of
index, 64 MB to 1 GB of data, and 6 MB a queue, of which a test writes a few hundred kilobytes. GNU tar asks the file
system where they are (``--sparse``) and writes the rest only.
"""

from __future__ import annotations

import os
import secrets
import tarfile
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, TYPE_CHECKING

from rmqkit.cluster.engine import Engine, translated
from rmqkit.cluster.owner import LABEL_KEPT
from rmqkit.cluster.signals import held_back
from rmqkit.errors import EngineError
from rmqkit.topology.brokerconf import STORE_DIR
from rmqkit.topology.names import LABEL_HOST, LABEL_OWNER_PID, LABEL_PEER, LABEL_RUN

if TYPE_CHECKING:
    from rmqkit.cluster.cluster import Cluster
    from rmqkit.cluster.peers import Peer

_OWNERSHIP = (LABEL_RUN, LABEL_OWNER_PID, LABEL_HOST, LABEL_KEPT)

_PACK = """
cd {store} 2>/dev/null || exec tar --create --file=- --files-from=/dev/null
exec 3>&1
# In this order: of a broker that writes meanwhile, what is copied later knows of everything that was copied before.
set -- dledger-*/checkpoint* dledger-*/currterm* dledger-*/index dledger-*/data consumequeue config abort
export LC_ALL=C
said=$(for each; do [ ! -e "$each" ] || echo "$each"; done | tar --create --sparse --file=- --files-from=- 2>&1 >&3)
code=$?
# A running broker changes files (1), writes its checkpoint and term under other names that it renames, and takes its
# mark of an abort away: one of these was listed and is gone (2) when it is read. Anything else is a failure.
gone='(/(checkpoint|currterm)[^/:]*|: abort): Cannot stat: No such file or directory$'
gone="$gone|File removed before we read it$|file changed as we read it$"
if [ "$code" = 2 ] && ! printf '%s\n' "$said" | grep -qvE "$gone|Exiting with failure status"; then code=1; fi
printf '%s\n' "$said" >&2
[ "$code" -le 1 ]
"""


def copy_store(cluster: Cluster, peer: Peer, folder: Path) -> Path:
    """Copy the store files of ``peer`` into the new or empty ``folder``, with their holes; gives ``folder``.

    What a wiped broker has not is not there. A running broker's files are copied one after the other while it writes:
    first its checkpoint, then index, data, and last the consume queues. Raises ReadOnlyClusterError on attached
    clusters, EngineError when the engine or the copying fails.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder) as packed:
        beside(cluster, peer, ["sh", "-c", _PACK.format(store=STORE_DIR)], output=packed)
        packed.seek(0)
        try:
            with tarfile.open(fileobj=packed) as archive:
                archive.extractall(folder, filter="data")
        except (tarfile.TarError, OSError) as error:
            raise EngineError(
                f"the store of {peer} could not be unpacked into {folder}: {error}", hint="is the disk full?"
            ) from error
    return folder


def beside(
    cluster: Cluster, peer: Peer, command: Sequence[str], *, output: IO[bytes] | None = None, writable: bool = False
) -> None:
    """Run ``command`` in a container of its own, as the broker's user, that has the volumes of the peer's container.

    It has no network and carries the run's labels; it is gone afterwards. Its standard output goes to ``output``. With
    ``writable`` it may change the volumes: only while the peer is down. Raises EngineError with its last words when it
    fails.
    """
    container = cluster.container_of(peer)
    engine = cluster.engine
    assert engine is not None
    words = _run(engine, container, command, run=cluster.run, peer=peer, output=output, writable=writable)
    if words is not None:
        raise EngineError(
            f"`{command[0]}` beside {peer} failed", details=words, hint="the lines above are its own; is the disk full?"
        )


def _run(
    engine: Engine,
    container: str,
    command: Sequence[str],
    *,
    run: str,
    peer: Peer,
    output: IO[bytes] | None,
    writable: bool,
) -> list[str] | None:
    """None when it ended well; else what it said."""
    from docker.types import LogConfig  # noqa: PLC0415 - costs 0.25 s, so not at start

    api = engine.client.api
    said = bytearray()
    with translated(f"run a container beside {peer}"), ExitStack() as undo:
        config = api.inspect_container(container)
        labels = config["Config"]["Labels"] or {}
        # Between the engine's making it and this process knowing its id, a signal would leave it behind.
        with held_back():
            made = api.create_container(
                config["Image"],
                name=f"{run or 'rmqkit'}-beside-{peer.id}-{os.getpid()}-{secrets.token_hex(3)}",
                entrypoint=list(command),
                user=config["Config"]["User"],
                # Those of the peer's container: whoever owns that owns this, should this process be killed in between.
                labels={key: labels[key] for key in (*_OWNERSHIP, LABEL_PEER) if key in labels},
                host_config=api.create_host_config(
                    volumes_from=[f"{container}:{'rw' if writable else 'ro'}"],
                    network_mode="none",
                    # Or the engine would keep a second copy of the archive as the container's log.
                    log_config=LogConfig(type="none"),
                    cap_drop=["ALL"],
                    security_opt=["no-new-privileges:true"],
                    read_only=True,
                ),
            )
            undo.callback(_remove, engine, made["Id"])
        stream = api.attach(made["Id"], stdout=True, stderr=True, stream=True, demux=True)
        api.start(made["Id"])
        for out, err in stream:
            if out and output is not None:
                output.write(out)
            said += err or b""
        code = api.wait(made["Id"])["StatusCode"]
    if code == 0:
        return None
    return [*said.decode("utf-8", "replace").splitlines()[-5:], f"exit code {code}"]


def _remove(engine: Engine, container: str) -> None:
    with held_back():
        engine.client.api.remove_container(container, force=True, v=False)
