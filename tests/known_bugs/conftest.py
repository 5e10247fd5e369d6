"""Clusters of the releases that a bug is shown on, built from source where the engine has no image yet."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import pytest
from known_bug import BugFinding, Seen

from rmqkit.cluster import Cluster
from rmqkit.cluster.engine import Engine
from rmqkit.cluster.images import BuildRequest, build, image_name
from rmqkit.cluster.ports import reserve_block
from rmqkit.settings import Settings
from rmqkit.topology.spec import ClusterSpec, pod_ports_needed

FINDINGS = pytest.StashKey[list[str]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[FINDINGS] = []


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """What was found, whether as expected or not: the answer of a one-line command."""
    if findings := config.stash[FINDINGS]:
        terminalreporter.section("known bugs")
        for text in findings:
            terminalreporter.write_line(text)


@pytest.fixture(scope="session")
def build_edition(rmq_engine: Engine, rmq_settings: Settings) -> Callable[[str], None]:
    """Builds an edition's image unless there is one. A build that fails raises ImageError with Maven's last lines."""

    def ensure(edition: str) -> None:
        if rmq_engine.image_id(image_name(edition)) is None:
            request = BuildRequest(
                edition=edition,
                build_image=rmq_settings.build_image,
                runtime_image=rmq_settings.runtime_image,
                ca_bundle=rmq_settings.ca_bundle,
                maven_settings=rmq_settings.maven_settings,
            )
            build(request, engine=rmq_engine)

    return ensure


@pytest.fixture
def config() -> Mapping[str, str]:
    """Keys of broker.conf beside the kit's own for tests; a bug's file overrides it."""
    return {}


@pytest.fixture
def cluster(
    edition: str,
    config: Mapping[str, str],
    build_edition: Callable[[str], None],
    rmq_engine: Engine,
    rmq_settings: Settings,
) -> Iterator[Cluster]:
    """A cluster of this test alone, of the release under test: what a bug does to it is nobody else's."""
    build_edition(edition)
    with reserve_block(pod_ports_needed()) as block:
        spec = ClusterSpec.pod(base_port=block.base, edition=edition, image=image_name(edition), config=config)
        with Cluster.start(spec, engine=rmq_engine, timeout_s=rmq_settings.timeout_s) as started:
            yield started


@pytest.fixture
def check(edition: str, expected: Seen, pytestconfig: pytest.Config) -> Callable[[BugFinding], None]:
    """Holds a finding against what this release is known for, and shows it at the end of the run."""

    def held(finding: BugFinding) -> None:
        pytestconfig.stash[FINDINGS].append(f"{edition}: {finding}")
        assert finding.evidence, "a finding without evidence says nothing"
        assert finding.seen is expected, f"on {edition}, {expected} was expected of {finding}"

    return held
