"""The service: a desk that confirms orders and a warehouse that packs each of them once."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass
from enum import Enum

from order_service.gateway import Answer, OrderGateway


@dataclass(frozen=True, slots=True)
class Order:
    """What a customer wants. The id is the customer's, and the same on every attempt."""

    id: str
    item: str
    quantity: int

    def to_bytes(self) -> bytes:
        """The body of the order's message."""
        return json.dumps(asdict(self), sort_keys=True).encode()

    @classmethod
    def from_bytes(cls, body: bytes) -> Order:
        """The order in a message's body."""
        return cls(**json.loads(body))


class Confirmation(Enum):
    """What the customer is told."""

    CONFIRMED = "confirmed"
    """The order will be packed, whatever happens to one broker."""
    REJECTED = "rejected"
    """The order was not taken; nothing will come of it."""
    PENDING = "pending"
    """Nobody can say yet. Placing the same order again is safe: the warehouse packs an id once."""


class OrderDesk:
    """Takes orders. Tries for ``patience_s`` seconds, because a cluster needs a few to change its leader."""

    def __init__(
        self,
        gateway: OrderGateway,
        *,
        patience_s: float = 30.0,
        pause_s: float = 0.1,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._gateway = gateway
        self._patience_s = patience_s
        self._pause_s = pause_s
        self._sleep = sleep

    def place(self, order: Order) -> Confirmation:
        """Confirm the order only when a majority of the brokers has stored it."""
        end = time.monotonic() + self._patience_s
        answer = self._gateway.send(order.to_bytes(), key=order.id)
        maybe_stored = answer is Answer.UNKNOWN
        while answer is not Answer.STORED and time.monotonic() < end:
            self._sleep(self._pause_s)
            answer = self._gateway.send(order.to_bytes(), key=order.id)
            maybe_stored = maybe_stored or answer is Answer.UNKNOWN
        if answer is Answer.STORED:
            return Confirmation.CONFIRMED
        # One unknown attempt is enough: a later refusal says nothing about it.
        return Confirmation.PENDING if maybe_stored else Confirmation.REJECTED


class Warehouse:
    """Packs each order once, however often it comes."""

    def __init__(self, gateway: OrderGateway) -> None:
        self._gateway = gateway
        self.packed: dict[str, Order] = {}

    def work(self, *, timeout_s: float = 1.0) -> int:
        """Pack what has come; returns how many orders were new."""
        before = len(self.packed)
        for body in self._gateway.receive(timeout_s=timeout_s):
            order = Order.from_bytes(body)
            self.packed.setdefault(order.id, order)
        return len(self.packed) - before

    def work_until(self, count: int, *, within_s: float) -> None:
        """Work until ``count`` orders are packed. Raises TimeoutError when they do not all come."""
        end = time.monotonic() + within_s
        while len(self.packed) < count:
            if time.monotonic() >= end:
                raise TimeoutError(f"{len(self.packed)} of {count} orders came within {within_s} s")
            self.work()

    def missing(self, order_ids: Collection[str], *, within_s: float) -> set[str]:
        """Work until all of these orders are packed; those that did not come in time are returned."""
        end = time.monotonic() + within_s
        while (missing := set(order_ids) - self.packed.keys()) and time.monotonic() < end:
            self.work()
        return missing
