"""The plugin in other people's suites, for real: in parallel workers, on a running cluster, with fresh ones."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rmqkit.cluster import Cluster
from rmqkit.cluster.engine import Engine
from rmqkit.topology.names import LABEL_RUN

pytestmark = pytest.mark.cluster

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
        """
    )
    result = pytester.runpytest_subprocess("-n", "2", "--rmq-edition", rmq_edition, timeout=300)
    result.assert_outcomes(passed=2)


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
