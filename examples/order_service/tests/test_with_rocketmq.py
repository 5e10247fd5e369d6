"""The service on a real cluster while nothing is broken."""

from __future__ import annotations

from order_service import Confirmation, Order, OrderDesk, OrderGateway, Warehouse

from rmqkit.client.outcomes import Refused
from rmqkit.fixtures.helpers import RmqProducer


def test_a_confirmed_order_is_delivered(gateway: OrderGateway) -> None:
    desk, warehouse = OrderDesk(gateway), Warehouse(gateway)
    orders = [Order(id=f"A-{number}", item="tea", quantity=number) for number in range(1, 21)]
    assert {desk.place(order) for order in orders} == {Confirmation.CONFIRMED}
    assert not warehouse.missing([order.id for order in orders], within_s=30)
    assert warehouse.packed == {order.id: order for order in orders}


def test_a_mistyped_topic_is_not_made_in_silence(rmq_producer: RmqProducer, rmq_topic: str) -> None:
    """Holds because this suite's ``rmq_spec`` turns autoCreateTopicEnable off."""
    outcome = rmq_producer.send(f"{rmq_topic}-typo", b"lost?")
    assert isinstance(outcome, Refused), outcome
