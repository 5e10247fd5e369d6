"""What an image was really built from, as the image itself says."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from rmqkit.errors import ImageError

BUILD_INFO_PATH = "/opt/rocketmq/BUILD-INFO.json"


@dataclass(frozen=True, slots=True)
class BuildInfo:
    """What an image was really built from; the image carries it as a JSON file."""

    edition: str
    source: str
    rocketmq_version: str
    dledger_version: str
    facts: dict[str, Any]

    @classmethod
    def parse(cls, raw: bytes) -> BuildInfo:
        """From the file's bytes; raises ImageError when they are not what the build writes."""
        try:
            facts = json.loads(raw)
            return cls(
                edition=str(facts["edition"]),
                source=str(facts["source"]),
                rocketmq_version=str(facts["rocketmq_version"]),
                dledger_version=str(facts["dledger_version"]),
                facts=facts,
            )
        except (ValueError, KeyError, TypeError) as error:
            raise ImageError(
                f"{BUILD_INFO_PATH} of the image is not readable: {error!r}", hint="build it again: rmqkit build"
            ) from error

    @property
    def short(self) -> str:
        """One word for test ids: the edition and, where they differ, the version really built."""
        if self.edition == self.rocketmq_version:
            return self.edition
        return f"{self.edition}={self.rocketmq_version}"

    @property
    def note(self) -> str:
        """Why the image is not what its name asks for (the fall-back of source ``auto``); else an empty text."""
        return str(self.facts.get("note") or "")

    def __str__(self) -> str:
        ref = self.facts.get("rocketmq_commit") or self.facts.get("rocketmq_checksum") or ""
        jdk = self.facts.get("runtime_jdk") or self.facts.get("build_jdk") or "?"
        return (
            f"{self.edition}: RocketMQ {self.rocketmq_version} from {self.source} {str(ref)[:19]}, "
            f"DLedger {self.dledger_version} ({self.facts.get('dledger_source', '?')}), JDK {jdk}"
        )
