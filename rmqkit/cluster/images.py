"""Images: an edition's name to build arguments, the build itself, and what was really built.

The build's own logic (git, release or path; the fall-back of ``auto``) lives in ``images/rocketmq/Dockerfile``,
so that plain ``docker compose up`` does the same. Here are only names, arguments, secrets and errors.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import subprocess
import tempfile
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from rmqkit.cluster.buildinfo import BUILD_INFO_PATH, BuildInfo
from rmqkit.cluster.engine import Engine
from rmqkit.cluster.owner import Owner
from rmqkit.errors import EngineError, ImageError, UsageError
from rmqkit.resources import images_dir

REPOSITORY = "rmqkit/rocketmq"
LOCAL_BASES = {"BUILD_IMAGE": "rmqkit/base-build:jdk8", "RUNTIME_IMAGE": "rmqkit/base-runtime:jdk8"}
"""What ``scripts/make-base-image`` makes where no container registry answers."""
DEFAULT_EDITION = "store_with_dledger"
"""RocketMQ's development branch of DLedger mode; where git hosting cannot be reached, release 4.5.1."""
KNOWN_EDITIONS = (DEFAULT_EDITION, "4.5.1", "4.9.8", "5.3.2")

_VERSION = re.compile(r"^\d+\.\d+\.\d+$")
_REF = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._/-]*$")


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildRequest:
    """What to build. ``source`` None lets the edition choose: a version is a release, ``store_with_dledger``
    is ``auto``, any other name is a git ref; ``checkout`` is a local checkout of RocketMQ (source ``path``);
    ``refresh`` is any text that no earlier build had: the sources are looked at again, whatever Docker's cache has."""

    edition: str
    source: str | None = None
    version: str | None = None
    rocketmq_url: str | None = None
    rocketmq_ref: str | None = None
    dledger_url: str | None = None
    dledger_ref: str | None = None
    checkout: Path | None = None
    build_image: str | None = None
    runtime_image: str | None = None
    ca_bundle: Path | None = None
    maven_settings: Path | None = None
    tag: str | None = None
    network: str | None = None
    refresh: str | None = None

    def __post_init__(self) -> None:
        if not _REF.match(self.edition):
            raise UsageError(
                f"edition {self.edition!r} is neither a version nor a git ref",
                hint=f"editions: {', '.join(KNOWN_EDITIONS)}; or any released version, or a git ref",
            )
        if self.source not in (None, "auto", "git", "release", "path"):
            raise UsageError(f"source {self.source!r} is unknown", hint="one of auto, git, release, path")
        if self.checkout is not None and not self.checkout.is_dir():
            raise UsageError(
                f"there is no folder {self.checkout}", hint="name the folder that holds RocketMQ's top pom.xml"
            )
        if self.checkout is not None and not (self.checkout / "pom.xml").is_file():
            raise UsageError(
                f"{self.checkout} is not a checkout of RocketMQ: it has no pom.xml",
                hint="name the folder that holds RocketMQ's top pom.xml",
            )

    @property
    def image(self) -> str:
        """The tag that the built image gets."""
        return self.tag or image_name(self.edition)

    def arguments(self) -> dict[str, str]:
        """The build arguments of the Dockerfile."""
        args = {"EDITION": self.edition}
        if self.checkout is not None or self.source == "path":
            args["SOURCE"] = "path"
        elif self.source is not None:
            args["SOURCE"] = self.source
        elif _VERSION.match(self.edition):
            args["SOURCE"] = "release"
        else:
            args["SOURCE"] = "auto" if self.edition == DEFAULT_EDITION else "git"
        if self.version or _VERSION.match(self.edition):
            args["VERSION"] = self.version or self.edition
        if self.rocketmq_ref or args["SOURCE"] in ("auto", "git"):
            args["ROCKETMQ_REF"] = self.rocketmq_ref or self.edition
        for key in ("rocketmq_url", "dledger_url", "dledger_ref", "build_image", "runtime_image", "refresh"):
            if value := getattr(self, key):
                args[key.upper()] = value
        return args


def image_name(edition: str) -> str:
    """The tag of the kit's image of an edition; a git ref is made fit for a tag."""
    return f"{REPOSITORY}:{re.sub(r'[^A-Za-z0-9_.-]', '-', edition)[:120]}"


def build_info(engine: Engine, image: str) -> BuildInfo:
    """What ``image`` was built from. Raises ImageError when there is no such image."""
    if engine.image_id(image) is None:
        raise missing_image(image)
    mine = Owner.myself().labels(f"rmqkit-look-{os.getpid()}-{secrets.token_hex(3)}", kept=False)
    return BuildInfo.parse(engine.file_from_image(image, BUILD_INFO_PATH, labels=mine))


def missing_image(image: str) -> ImageError:
    """The error for an image that was not built yet."""
    edition = image.rpartition(":")[2]
    return ImageError(
        f"there is no image {image} on this engine",
        hint=f"build it from source (one to three minutes): rmqkit build {edition}",
    )


def build(request: BuildRequest, *, engine: Engine, on_line: Callable[[str], None] | None = None) -> BuildInfo:
    """Build an image from source and return what was really built.

    ``on_line`` is called with each line of the build's output. Raises ImageError with the last lines of
    Maven's output and the path of the full log; the log is removed after a build that worked.
    """
    args = request.arguments()
    for key, local in LOCAL_BASES.items():
        if key not in args and engine.image_id(local) is not None:
            args[key] = local
    with ExitStack() as undo:
        context = images_dir() / "rocketmq"
        if args["SOURCE"] == "path":
            if request.checkout is None:
                raise UsageError("source path needs a checkout", hint="rmqkit build NAME --checkout DIR")
            staged = Path(undo.enter_context(tempfile.TemporaryDirectory(prefix="rmqkit-context-")))
            shutil.copytree(context, staged, dirs_exist_ok=True)
            stage_checkout(request.checkout, staged / "checkout")
            context = staged
        command = ["docker", "build", "--progress=plain", "-t", request.image]
        for key, value in args.items():
            command += ["--build-arg", f"{key}={value}"]
        for secret in ("ca_bundle", "maven_settings"):
            if path := getattr(request, secret):
                command += ["--secret", f"id={secret},src={path}"]
        if request.network:
            command += ["--network", request.network]
        _run_build([*command, str(context)], image=request.image, on_line=on_line)
    return build_info(engine, request.image)


def stage_checkout(checkout: Path, folder: Path) -> None:
    """Copy a local source tree into the build's context, without what Maven and IDEs made there.

    ``.git`` goes along: BUILD-INFO.json has the commit from it. Links stay links. Raises ImageError naming what could
    not be copied.
    """
    try:
        shutil.copytree(
            checkout,
            folder,
            dirs_exist_ok=True,
            symlinks=True,
            ignore=shutil.ignore_patterns("target", ".idea"),
        )
    except shutil.Error as error:
        failures = [f"{source}: {why}" for source, _, why in error.args[0]]
        raise ImageError(
            f"{len(failures)} files of the checkout {checkout} could not be copied into the build",
            details=failures[:10],
            hint="move them out of the tree, or make them readable",
        ) from error
    except OSError as error:
        raise ImageError(
            f"the checkout {checkout} could not be copied into the build: {error}",
            hint="is the disk full, or a folder not readable?",
        ) from error


def _run_build(command: list[str], *, image: str, on_line: Callable[[str], None] | None) -> None:
    tail: deque[str] = deque(maxlen=400)
    descriptor, name = tempfile.mkstemp(prefix="rmqkit-build-", suffix=".log")
    log_path = Path(name)
    failed = False
    try:
        with (
            os.fdopen(descriptor, "w", encoding="utf-8") as log,
            subprocess.Popen(
                command,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                env={**os.environ, "DOCKER_BUILDKIT": "1"},
            ) as process,
        ):
            try:
                assert process.stdout is not None
                for line in process.stdout:
                    log.write(line)
                    tail.append(line.rstrip())
                    if on_line:
                        on_line(line.rstrip())
            except BaseException:
                process.terminate()
                raise
        failed = process.returncode != 0
    except FileNotFoundError as error:
        raise EngineError(
            "there is no `docker` in the PATH", hint="install Docker's command line (Debian: docker.io or docker-cli)"
        ) from error
    finally:
        if not failed:
            log_path.unlink(missing_ok=True)
    if failed:
        raise build_failure(list(tail), image=image, log=log_path)


def build_failure(lines: list[str], *, image: str, log: Path) -> ImageError:
    """The error of a failed build: its telling lines, and a hint that fits what they say."""
    text = "\n".join(lines)
    hint = "the log has the whole output; the first [ERROR] line of Maven usually names the cause"
    if re.search(
        r"failed to (resolve source|do request|authorize|fetch (anonymous|oauth))|pull access denied|dial tcp", text
    ):
        hint = (
            "the base images could not be pulled: where no container registry answers, make local ones with "
            "`scripts/make-base-image`, or name yours with RMQKIT_BUILD_IMAGE and RMQKIT_RUNTIME_IMAGE"
        )
    elif re.search(r"PKIX|certificate (verify|problem)|self.signed certificate|unable to get local issuer", text):
        hint = "a proxy signs TLS anew here: name your CA bundle with RMQKIT_CA_BUNDLE=/path/to/bundle.pem"
    telling = [re.sub(r"^#\d+\s+(\d+\.\d+\s+)?", "", line) for line in lines if line.strip()]
    return ImageError(
        f"building image {image} failed",
        details=[*telling[-25:], f"the whole log: {log}"],
        hint=hint,
    )
