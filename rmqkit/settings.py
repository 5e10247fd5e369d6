"""Settings: read once, at the top, from options, the environment and an ini file; then passed down, frozen.

Only ``fixtures/`` and ``cli/`` make one. Order of precedence: option, environment (``RMQKIT_*``), ini, default.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rmqkit.errors import UsageError

DEFAULT_EDITION = "store_with_dledger"
"""RocketMQ's development branch of DLedger mode; where git hosting cannot be reached, release 4.5.1."""
DEFAULT_RATE = 200.0
"""Sends per second of the traffic beside a fault, of all threads together."""
DEFAULT_THREADS = 4
DEFAULT_ACKED = 200
"""Acknowledged sends that a drill waits for before its fault, and after it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a user may choose; units are in the names.

    ``namesrv`` names a running cluster (``host:port;host:port``) that is used instead of starting one.
    ``keep`` leaves a cluster up after the run. ``timeout_s`` bounds each wait for readiness and recovery.
    ``evidence`` is the folder that gets one of each test that fails; "off": none does.
    ``build_image``, ``runtime_image``, ``ca_bundle`` and ``maven_settings`` concern the build of images only.
    """

    edition: str = DEFAULT_EDITION
    namesrv: str | None = None
    keep: bool = False
    timeout_s: float = 90.0
    evidence: str | None = None
    build_image: str | None = None
    runtime_image: str | None = None
    ca_bundle: Path | None = None
    maven_settings: Path | None = None

    @classmethod
    def read(
        cls,
        *,
        environ: Mapping[str, str],
        options: Mapping[str, object] | None = None,
        ini: Mapping[str, str] | None = None,
    ) -> Settings:
        """Join options, environment and ini; a value that cannot be used raises UsageError naming its source."""
        chosen: dict[str, tuple[str, object]] = {}
        for key, text in (ini or {}).items():
            if text:
                chosen[key] = (f"ini option rmq_{key.removesuffix('_s')}", text)
        for key in cls.__dataclass_fields__:
            name = f"RMQKIT_{key.removesuffix('_s').upper()}"
            if environ.get(name):
                chosen[key] = (f"environment variable {name}", environ[name])
        for key, value in (options or {}).items():
            if value is not None:
                chosen[key] = (f"option {key.removesuffix('_s').replace('_', '-')}", value)
        if "ca_bundle" not in chosen:
            for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
                # Other tools' variables: what the kit cannot use (requests also takes a folder) is no error of use.
                if environ.get(name) and Path(environ[name]).is_file():
                    chosen["ca_bundle"] = (f"environment variable {name}", environ[name])
                    break
        return cls(
            edition=str(chosen.get("edition", ("", DEFAULT_EDITION))[1]),
            namesrv=_text(chosen.get("namesrv")),
            keep=_flag(*chosen.get("keep", ("", False))),
            timeout_s=_seconds(*chosen.get("timeout_s", ("", 90.0))),
            evidence=_text(chosen.get("evidence")),
            build_image=_text(chosen.get("build_image")),
            runtime_image=_text(chosen.get("runtime_image")),
            ca_bundle=_file(chosen.get("ca_bundle")),
            maven_settings=_file(chosen.get("maven_settings")),
        )


def _text(entry: tuple[str, object] | None) -> str | None:
    return str(entry[1]) if entry else None


def _file(entry: tuple[str, object] | None) -> Path | None:
    if entry is None:
        return None
    source, value = entry
    path = Path(str(value)).expanduser()
    if not path.is_file():
        raise UsageError(f"{source}: {path} is not a file", hint="name an existing file, or leave it unset")
    return path


def _flag(source: str, value: object) -> bool:
    if isinstance(value, bool):
        return value
    words = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
    if str(value).lower() not in words:
        raise UsageError(f"{source}: {value!r} is neither true nor false", hint="use true or false")
    return words[str(value).lower()]


def _seconds(source: str, value: object) -> float:
    try:
        seconds = float(str(value))
    except ValueError:
        seconds = -1.0
    if not 0 < seconds < 86_400:
        raise UsageError(f"{source}: {value!r} is not a number of seconds", hint="for example 90")
    return seconds
