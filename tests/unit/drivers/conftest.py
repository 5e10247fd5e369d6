"""The real 2.0.0 package, unpacked, on a library whose functions are replaced."""

from __future__ import annotations

import hashlib
import sys
import tarfile
from pathlib import Path

import pytest

# The cluster in memory of the fixtures' tests, and the broker in memory of the client's, serve here too.
sys.path += [str(Path(__file__).parents[1] / name) for name in ("client", "fixtures")]

from second_generation import Second

SDIST = Path(__file__).parents[2] / "vectors" / "native" / "rocketmq-client-python-2.0.0.tar.gz"
SHA256 = "692324adaa8107eebd0369117043871d90035ddb1562f9999c5681136f16f738"


@pytest.fixture
def second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Second:
    """rocketmq-client-python 2.0.0 with the library's calls replaced."""
    assert hashlib.sha256(SDIST.read_bytes()).hexdigest() == SHA256
    with tarfile.open(SDIST) as packed:
        packed.extractall(tmp_path, filter="data")
    root = tmp_path / "rocketmq-client-python-2.0.0"
    with (root / "rocketmq" / "__init__.py").open("a", encoding="utf-8") as module:
        module.write("\nimport fake_librocketmq\n")
    log = tmp_path / "calls"
    monkeypatch.setenv("FAKE_ROCKETMQ_LOG", str(log))
    return Second([str(root), str(Path(__file__).parent)], log)
