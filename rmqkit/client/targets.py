"""Which queue a message goes to.

What belongs here: the writable queues of a route in an order that all clients share, and choosing one. What does
not: asking for routes (``routes``), sending (``send``).

The order is that of Java's clients: by broker name, then by queue id
(MQClientInstance.topicRouteData2TopicPublishInfo).
"""

from __future__ import annotations

import itertools

from rmqkit.client.send import Target
from rmqkit.errors import UsageError
from rmqkit.wire.bodies import TopicRoute
from rmqkit.wire.javatext import java_hash

Place = tuple[str, int]
"""A queue: name of the broker group, and queue id."""


class TopicTargets:
    """The queues of one topic by one route; made anew when the route changes."""

    def __init__(self, topic: str, route: TopicRoute, *, group: str) -> None:
        self.route = route
        self._topic = topic
        writable = sorted(
            (queue for queue in route.queues if queue.is_writable and queue.write_queues > 0),
            key=lambda queue: queue.broker_name,
        )
        self.places: tuple[Place, ...] = tuple(
            (queue.broker_name, number) for queue in writable for number in range(queue.write_queues)
        )
        self._by_place: dict[Place, Target] = {}
        for name, number in self.places:
            broker = route.broker(name)
            if broker is not None and broker.master is not None:
                target = Target.of(broker.master, topic=topic, queue_id=number, group=group, broker_name=name)
                self._by_place[name, number] = target
        self._targets = tuple(self._by_place.values())
        self._turn = itertools.count()

    def choose(self, *, queue_id: int | None = None, sharding_key: str = "") -> tuple[Target | None, str]:
        """A queue with a master, and an empty text; or None, and why there is none.

        A sharding key always means the same queue of the same list, also while that queue's group has no leader.
        """
        targets = self._targets
        if sharding_key:
            if queue_id is not None:
                raise UsageError(f"both queue_id={queue_id} and a sharding key", hint="give one of the two")
            return self._sharded(sharding_key)
        if queue_id is not None:
            targets = tuple(target for target in targets if target.queue_id == queue_id)
        if targets:
            return targets[next(self._turn) % len(targets)], ""
        return None, self._why_none("" if queue_id is None else f" with queue {queue_id}")

    def _sharded(self, key: str) -> tuple[Target | None, str]:
        if not self.places:
            return None, self._why_none("")
        place = self.places[abs(java_hash(key)) % len(self.places)]
        target = self._by_place.get(place)
        return target, "" if target is not None else self._why_none(f" {place[0]}, to which the sharding key belongs,")

    def _why_none(self, wanted: str) -> str:
        if not self.places:
            return "no route: the topic has no writable queue"
        known = ", ".join(f"{broker.name} {dict(broker.addresses)}" for broker in self.route.brokers) or "none"
        return f"no route: no broker{wanted} has a master (broker id 0); registered: {known}"
