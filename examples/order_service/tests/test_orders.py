"""The service's own rules, without a broker."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from order_service import Answer, Confirmation, Order, OrderDesk, Warehouse

TEA = Order(id="A-1", item="tea", quantity=2)


class ScriptedGateway:
    """Answers from a list, then from its last entry; delivers what it was given, stored or not."""

    def __init__(self, *answers: Answer) -> None:
        self._answers = list(answers)
        self.bodies: list[bytes] = []

    def send(self, body: bytes, *, key: str) -> Answer:
        assert key
        self.bodies.append(body)
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]

    def receive(self, *, timeout_s: float) -> Sequence[bytes]:
        assert timeout_s > 0
        bodies, self.bodies = self.bodies, []
        return bodies


@pytest.mark.parametrize(
    ("answers", "confirmation"),
    [
        ([Answer.STORED], Confirmation.CONFIRMED),
        ([Answer.UNKNOWN, Answer.REFUSED, Answer.STORED], Confirmation.CONFIRMED),
        ([Answer.REFUSED], Confirmation.REJECTED),
        ([Answer.UNKNOWN, Answer.REFUSED], Confirmation.PENDING),
    ],
    ids=["stored", "stored-at-last", "refused", "once-unknown"],
)
def test_an_order_is_confirmed_only_when_it_is_stored(answers: list[Answer], confirmation: Confirmation) -> None:
    desk = OrderDesk(ScriptedGateway(*answers), patience_s=0.05, pause_s=0.01)
    assert desk.place(TEA) is confirmation


def test_an_order_that_comes_twice_is_packed_once() -> None:
    gateway = ScriptedGateway(Answer.UNKNOWN, Answer.STORED)
    assert OrderDesk(gateway, pause_s=0.01).place(TEA) is Confirmation.CONFIRMED
    assert len(gateway.bodies) == 2
    warehouse = Warehouse(gateway)
    assert warehouse.work() == 1
    assert warehouse.packed == {TEA.id: TEA}
