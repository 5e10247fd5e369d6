"""One and the same image on every host: where it is found, and how it gets to where it is not.

What belongs here: ``docker save | docker load``, ``docker pull``, and comparing ids. What does not: building images
(``cluster/images.py``).
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from rmqkit.deploy.engines import HostEngine, last_lines
from rmqkit.errors import EngineError, ImageError, RmqkitError

SHIPPED_WITHIN_S = 1800.0
"""A few hundred megabytes over a slow line."""
HERE = HostEngine("this machine")


@dataclass(frozen=True, slots=True)
class Shipment:
    """Where the image is taken from, its id, and the engines that have another one of that name, or none."""

    image: str
    image_id: str
    source: HostEngine
    targets: tuple[HostEngine, ...]


def planned(image: str, engines: Sequence[HostEngine], *, here: HostEngine = HERE) -> Shipment:
    """What has to be shipped. The image of this machine counts; without one, that which hosts agree on.

    Raises ImageError where it is nowhere, or hosts have different ones.
    """
    try:
        own = here.image_id(image)
        missing = f"there is none on {here}"
    except RmqkitError as error:
        own, missing = None, f"{here} could not be asked: {error.what}"
    ids = {engine: engine.image_id(image) for engine in engines}
    if own is not None:
        return Shipment(image, own, here, tuple(engine for engine, there in ids.items() if there != own))
    have = {engine: there for engine, there in ids.items() if there is not None}
    if not have:
        edition = image.rpartition(":")[2]
        raise ImageError(
            f"image {image} is absent: {missing}, and none on {', '.join(engine.host for engine in engines)}",
            hint=f"build it here (rmqkit build {edition}), or let the hosts take it from a registry (--pull)",
        )
    if len(set(have.values())) > 1:
        raise ImageError(
            f"hosts have different images called {image}, and {missing}",
            details=[f"{engine.host}: {there}" for engine, there in have.items()],
            hint="every host must run the very same: build or load it on this machine, from where it is shipped",
        )
    source, image_id = next(iter(have.items()))
    return Shipment(image, image_id, source, tuple(engine for engine in engines if engine not in have))


def ship(shipment: Shipment, *, on_step: Callable[[str], None]) -> None:
    """Bring the image to every target, one after the other. Raises ImageError naming the host that did not take it."""
    for target in shipment.targets:
        began = time.monotonic()
        _save_and_load(shipment, target)
        arrived = target.image_id(shipment.image)
        if arrived != shipment.image_id:
            raise ImageError(
                f"{target}: image {shipment.image} arrived there as another one",
                details=[f"sent: {shipment.image_id}", f"there: {arrived}"],
                hint="engines of different image stores (containerd's and Docker's own) count ids differently: use "
                "the same on all, or a registry (--pull)",
            )
        took = time.monotonic() - began
        on_step(f"{target.host}: image {shipment.image} shipped from {shipment.source.host} in {took:.1f} s")


def pull(image: str, engines: Sequence[HostEngine], *, on_step: Callable[[str], None]) -> str:
    """Let every host take the image from its registry; its id. Raises ImageError naming the host, or the ids."""
    ids: dict[str, str] = {}
    for engine in engines:
        result = engine.tried("pull", "--quiet", image, timeout_s=SHIPPED_WITHIN_S)
        there = engine.image_id(image) if result.returncode == 0 else None
        if there is None:
            raise ImageError(
                f"{engine}: could not pull image {image}",
                details=last_lines(result.stderr),
                hint="does that host reach the registry, and is it logged in there? Without --pull the image is "
                "shipped from this machine",
            )
        ids[engine.host] = there
        on_step(f"{engine.host}: image {image} pulled")
    return one_of(image, ids)


def one_of(image: str, ids: Mapping[str, str]) -> str:
    """The id that all hosts have. Raises ImageError where they differ."""
    if len(set(ids.values())) > 1:
        raise ImageError(
            f"hosts have different images called {image}",
            details=[f"{host}: {there}" for host, there in ids.items()],
            hint="a tag was moved in the registry while hosts pulled it: deploy again, or name the image by its digest",
        )
    return next(iter(ids.values()))


def _save_and_load(shipment: Shipment, target: HostEngine) -> None:
    save, load = shipment.source.command("save", shipment.image), target.command("load")
    with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as answered:
        saving = subprocess.Popen(
            save,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=said,
            env=shipment.source.environment(),
            start_new_session=True,
        )
        loading = None
        try:
            assert saving.stdout is not None
            loading = subprocess.Popen(
                load,
                stdin=saving.stdout,
                stdout=answered,
                stderr=subprocess.STDOUT,
                env=target.environment(),
                start_new_session=True,
            )
            saving.stdout.close()  # so that save ends when load does
            loaded = loading.wait(timeout=SHIPPED_WITHIN_S)
            saved = saving.wait(timeout=30)
        except subprocess.TimeoutExpired as error:
            raise EngineError(
                f"{target}: image {shipment.image} was not there after {error.timeout:g} s",
                hint="how fast is the line to that host? A registry near it may serve better (--pull)",
            ) from error
        finally:
            for process in (saving, loading):
                if process is not None and process.poll() is None:
                    with suppress(ProcessLookupError):
                        os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
        if loaded == 0 and saved == 0:
            return
        lines = []
        for name, file in (("save", said), ("load", answered)):
            file.seek(0)
            lines += [f"{name}: {line}" for line in last_lines(file.read().decode("utf-8", "replace"), most=6)]
    raise ImageError(
        f"{target}: image {shipment.image} could not be shipped there from {shipment.source.host}",
        details=lines,
        hint="is there room on that host (`docker system df`)? By hand: "
        f"`docker save {shipment.image} | {' '.join(load)}`",
    )
