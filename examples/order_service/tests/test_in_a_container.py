"""A service that itself runs in a container reaches the cluster: two ways, each with a worker that really does.

The brokers of a test cluster advertise 127.0.0.1, which in another container means that container. So either

1. the container joins the pod's network: ``network_mode=cluster.network_mode``. Nothing about the cluster changes; or
2. the cluster advertises an address that both sides reach: ``ClusterSpec.pod(advertise=...)``, for example the
   gateway of the Docker network that the containers are on, which is an address of the host itself.
"""

from __future__ import annotations

import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from docker.models.networks import Network
from order_service import Confirmation, Order, OrderDesk, Warehouse
from rmqkit_gateway import RmqkitGateway

from rmqkit.cluster import Cluster
from rmqkit.cluster.engine import Engine
from rmqkit.cluster.ports import reserve_block
from rmqkit.fixtures.helpers import RmqAdmin, RmqConsumer, RmqProducer
from rmqkit.topology.spec import ClusterSpec, pod_ports_needed

WORKER = Path(__file__).resolve().parent.parent / "fulfilment"
ORDERS, SHIPMENTS = "orders", "shipments"


@pytest.fixture(scope="module")
def worker_image(rmq_spec: ClusterSpec, rmq_engine: Engine) -> Iterator[str]:
    """The worker's image, built for this run."""
    name = f"order-service/fulfilment:{secrets.token_hex(4)}"
    subprocess.run(
        ["docker", "build", "--quiet", "--tag", name, "--build-arg", f"BASE={rmq_spec.image_ref}", str(WORKER)],
        check=True,
    )
    yield name
    rmq_engine.client.images.remove(name, force=True)


@pytest.fixture(scope="module")
def service_network(rmq_engine: Engine) -> Iterator[Network]:
    """A Docker network such as a Compose project of the service has."""
    network = rmq_engine.client.networks.create(f"order-service-{secrets.token_hex(4)}", driver="bridge")
    network.reload()
    yield network
    network.remove()


@pytest.fixture(scope="module")
def reachable_cluster(rmq_spec: ClusterSpec, rmq_engine: Engine, service_network: Network) -> Iterator[Cluster]:
    """The suite's cluster once more, at an address that the host and the service's network both reach."""
    gateway = service_network.attrs["IPAM"]["Config"][0]["Gateway"]
    with reserve_block(pod_ports_needed()) as ports:
        spec = ClusterSpec.pod(
            base_port=ports.base,
            advertise=gateway,
            config=rmq_spec.config,
            edition=rmq_spec.edition,
            image=rmq_spec.image,
        )
        with Cluster.start(spec, engine=rmq_engine) as cluster:
            yield cluster


@contextmanager
def worker_of(cluster: Cluster, engine: Engine, image: str, *, network_mode: str) -> Iterator[None]:
    """The worker's container for as long as the block runs; what it printed is shown when a test fails."""
    container = engine.client.containers.run(
        image,
        detach=True,
        network_mode=network_mode,
        environment={"NAMESRV_ADDR": cluster.namesrv_addr, "ORDERS_TOPIC": ORDERS, "SHIPMENTS_TOPIC": SHIPMENTS},
    )
    try:
        yield
    finally:
        print(container.logs(tail=40).decode())
        container.remove(force=True, v=True)


def ship_orders(cluster: Cluster, engine: Engine, image: str, *, network_mode: str) -> None:
    """Orders are placed here, the worker in its container ships them, and the shipments are read here."""
    admin = RmqAdmin(cluster)
    for topic in (ORDERS, SHIPMENTS):
        admin.create_topic(topic)
    with (
        RmqProducer(cluster.nameservers) as producer,
        RmqConsumer(cluster.nameservers, topic=SHIPMENTS) as shipments,
        worker_of(cluster, engine, image, network_mode=network_mode),
    ):
        gateway = RmqkitGateway(producer, shipments, topic=ORDERS)
        orders = [Order(id=f"A-{number}", item="tea", quantity=1) for number in range(5)]
        assert {OrderDesk(gateway).place(order) for order in orders} == {Confirmation.CONFIRMED}
        assert not Warehouse(gateway).missing([order.id for order in orders], within_s=60)


def test_a_worker_that_joins_the_pods_network_ships_orders(
    rmq_cluster: Cluster, rmq_engine: Engine, worker_image: str
) -> None:
    ship_orders(rmq_cluster, rmq_engine, worker_image, network_mode=rmq_cluster.network_mode)


def test_a_worker_on_a_network_of_its_own_ships_orders(
    reachable_cluster: Cluster, rmq_engine: Engine, worker_image: str, service_network: Network
) -> None:
    assert "127.0.0.1" not in reachable_cluster.namesrv_addr
    ship_orders(reachable_cluster, rmq_engine, worker_image, network_mode=str(service_network.name))
