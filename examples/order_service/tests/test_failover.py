"""What the service promises its customers while a leader dies: ``pytest -m failover``."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager

import pytest
from order_service import Confirmation, Order, OrderDesk, OrderGateway, Warehouse

from rmqkit.faults import Failover
from rmqkit.fixtures.helpers import RmqAdmin

pytestmark = pytest.mark.failover


@contextmanager
def customers(desk: OrderDesk) -> Iterator[dict[str, Confirmation]]:
    """Somebody places one order after the other for as long as the block runs."""
    told: dict[str, Confirmation] = {}
    closing = threading.Event()

    def keep_ordering() -> None:
        for number in itertools.count(1):
            order = Order(id=f"A-{number}", item="tea", quantity=1)
            told[order.id] = desk.place(order)
            if closing.wait(0.01):
                return

    with ThreadPoolExecutor(max_workers=1) as shop:
        busy = shop.submit(keep_ordering)
        try:
            yield told
        finally:
            closing.set()
        busy.result()


def test_a_confirmed_order_is_delivered_though_the_leader_is_killed(
    gateway: OrderGateway,
    rmq_topic: str,
    rmq_admin: RmqAdmin,
    rmq_kill_leader: Callable[..., AbstractContextManager[Failover]],
) -> None:
    # A topic that is to survive its leader must have reached the followers: they copy topics every 10 s.
    rmq_admin.wait_topic_everywhere(rmq_topic)
    warehouse = Warehouse(gateway)
    with customers(OrderDesk(gateway)) as told:
        warehouse.work_until(20, within_s=30)
        with rmq_kill_leader() as failover:
            assert failover.successor != failover.victim
            warehouse.work_until(len(told) + 20, within_s=30)

    confirmed = {order_id for order_id, confirmation in told.items() if confirmation is Confirmation.CONFIRMED}
    assert len(confirmed) >= 40
    assert not warehouse.missing(confirmed, within_s=30), "confirmed, but never delivered"
    assert warehouse.packed.keys() <= told.keys()
