"""Where the image's build context and the Compose file are: inside the wheel, or in a checkout.

What belongs here: paths of files that travel with the package. What does not: reading or writing them.
"""

from __future__ import annotations

from pathlib import Path

from rmqkit.errors import MachineError

_PACKAGE = Path(__file__).resolve().parent


def _locate(name: str) -> Path:
    candidates = (_PACKAGE / "data" / name, _PACKAGE.parent / name)
    for candidate in candidates:
        if candidate.is_dir():
            return candidate
    raise MachineError(
        f"the folder {name!r} of rmqkit is missing",
        details=[f"looked at {candidate}" for candidate in candidates],
        hint="install rmqkit again: its wheel carries this folder; in a checkout it lies at the top level",
    )


def images_dir() -> Path:
    """The folder of image sources; ``rocketmq/`` below it is a Docker build context."""
    return _locate("images")


def compose_dir() -> Path:
    """The folder that holds ``docker-compose.dledger.yml``."""
    return _locate("compose")
