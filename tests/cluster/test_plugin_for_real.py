"""The plugin in other people's suites, for real: in parallel workers, on a running cluster, with fresh ones."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from rmqkit.cluster import Cluster
from rmqkit.cluster.engine import Engine
from rmqkit.report import check
from rmqkit.topology.names import LABEL_RUN
from rmqkit.topology.spec import ClusterSpec

pytestmark = pytest.mark.cluster

LOADED = (np, pq)  # loaded before pytester remembers which modules there are: they cannot be loaded twice
DOCKER_CONFIG = os.environ.get("DOCKER_CONFIG") or str(Path.home() / ".docker")


@pytest.fixture(autouse=True)
def _docker_plugins(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pytester gives its runs an empty home; Compose is a plugin in the real one."""
    monkeypatch.setenv("DOCKER_CONFIG", DOCKER_CONFIG)


def test_two_workers_hold_two_clusters_at_once(pytester: pytest.Pytester, rmq_edition: str) -> None:
    pytester.makepyfile(
        """
        from pathlib import Path
        from rmqkit.waiting import Pending, wait_until

        def meet(worker_id, cluster):
            Path(f"at-{worker_id}").write_text(f"{cluster.run} {cluster.namesrv_addr}")
            def both():
                found = sorted(Path().glob("at-*"))
                return found if len(found) == 2 else Pending(f"{len(found)} here")
            texts = [path.read_text().split() for path in wait_until(both, label="both workers", timeout_s=120)]
            assert len({run for run, _ in texts}) == 2
            assert len({address for _, address in texts}) == 2
            assert cluster.status(timeout_s=10).healthy

        def test_one(rmq_cluster, worker_id):
            meet(worker_id, rmq_cluster)

        def test_two(rmq_cluster, worker_id):
            meet(worker_id, rmq_cluster)

        def test_that_fails(rmq_cluster, rmq_topic, rmq_producer, rmq_consumer):
            rmq_producer.send_acked(rmq_topic, b"hello")
            rmq_consumer.expect(1, within_s=20)
            assert not "my own failure"
        """
    )
    options = ("-n", "2", "--rmq-edition", rmq_edition, "--junitxml", "junit.xml")
    result = pytester.runpytest_subprocess(*options, timeout=300)
    result.assert_outcomes(passed=2, failed=1)
    (folder,) = {Path(path) for path in re.findall(r"^evidence: (\S+) ", result.stdout.str(), re.MULTILINE)}
    result.stdout.fnmatch_lines([f"rmqkit kept the evidence of a failure: {folder}"])
    leaves_evidence(folder)
    properties = dict(re.findall(r'<property name="rmqkit.(\w+)" value="([^"]*)"', Path("junit.xml").read_text()))
    assert (properties["evidence"], properties["acknowledged"], properties["received"]) == (str(folder), "1", "1")
    assert f"test_that_fails[{properties['edition']}]" in result.stdout.str()


def leaves_evidence(folder: Path) -> None:
    """The cluster is gone by now: the folder says what it was, and can be judged."""
    checked = check(folder)
    assert checked.verdict.exit_code == 3, checked.verdict
    assert (checked.verdict.numbers["acknowledged"], checked.verdict.numbers["received"]) == (1, 1)
    assert "my own failure" in checked.summary["failure"]
    spec = ClusterSpec.from_json((folder / "spec.json").read_text())
    assert spec.name == checked.summary["run"]
    samples = [json.loads(line) for line in (folder / "status.jsonl").read_text().splitlines()]
    assert samples[-1]["healthy"]
    assert len(samples) > 2, "one a second while the test went on"
    # The message is on every replica: nothing is wanting but the test's own success.
    assert (checked.verdict.numbers["replicas"], checked.verdict.numbers["read"]) == (3, 3), checked.verdict
    assert {doubt.kind for doubt in checked.verdict.doubts} == {"test-failed", "consumer-undrained"}
    for service in (*(peer.id for _, peer in spec.all_peers()), "namesrv0"):
        assert (folder / "logs" / service / "console.log").stat().st_size > 0


def test_a_running_cluster_is_used_by_its_nameserver_and_left_as_it_was(
    pytester: pytest.Pytester, rmq_cluster: Cluster
) -> None:
    pytester.makepyfile(
        """
        import pytest
        from rmqkit.errors import ReadOnlyClusterError

        def test_traffic(rmq_cluster, rmq_topic, rmq_producer, rmq_consumer):
            receipt = rmq_producer.send_acked(rmq_topic, b"hello")
            assert [m.unique_key for m in rmq_consumer.expect(1, within_s=20)] == [receipt.message_id]

        @pytest.mark.failover
        def test_kill_is_refused(rmq_cluster, rmq_kill_leader):
            with pytest.raises(ReadOnlyClusterError, match="read only"):
                with rmq_kill_leader():
                    pass
        """
    )
    result = pytester.runpytest_subprocess("--strict-markers", "--rmq-namesrv", rmq_cluster.namesrv_addr, timeout=120)
    result.assert_outcomes(passed=2)
    assert rmq_cluster.status(timeout_s=10).healthy


def test_a_fresh_cluster_is_one_tests_own_and_gone_after_it_however_broken(
    pytester: pytest.Pytester, rmq_cluster: Cluster, rmq_engine: Engine, rmq_edition: str
) -> None:
    """Beside a cluster that is up, which is left alone: the one that this run attaches to."""
    pytester.makepyfile(
        """
        from pathlib import Path
        from rmqkit.topology.names import LABEL_RUN

        def test_breaks_it_for_good(rmq_fresh_cluster):
            Path("broken").write_text(rmq_fresh_cluster.run)
            for peer in rmq_fresh_cluster.peers:
                rmq_fresh_cluster.kill(peer)
            assert not rmq_fresh_cluster.status(timeout_s=10).healthy

        def test_has_another(rmq_fresh_cluster, rmq_cluster, rmq_engine):
            assert rmq_engine.containers({LABEL_RUN: Path("broken").read_text()}) == []
            assert rmq_fresh_cluster.status(timeout_s=10).healthy
            assert rmq_cluster.status(timeout_s=10).healthy
            ports = {peer.address for peer in rmq_fresh_cluster.peers}
            assert not ports & {peer.address for peer in rmq_cluster.peers}
            Path("other").write_text(rmq_fresh_cluster.run)
            Path("build").write_text(rmq_fresh_cluster.build_info().edition)
        """
    )
    options = ("--rmq-edition", rmq_edition, "--rmq-namesrv", rmq_cluster.namesrv_addr)
    result = pytester.runpytest_subprocess(*options, timeout=300)
    result.assert_outcomes(passed=2)
    runs = [(pytester.path / name).read_text() for name in ("broken", "other")]
    assert len({*runs, rmq_cluster.run}) == 3
    assert [rmq_engine.containers({LABEL_RUN: run}) for run in runs] == [[], []]
    assert (pytester.path / "build").read_text() == rmq_edition
    assert rmq_cluster.status(timeout_s=10).healthy
