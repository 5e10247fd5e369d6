"""Routes of topics, from whichever NameServer answers.

What belongs here: asking the NameServers in turn, remembering the answer until a caller says it failed.
What does not: choosing a queue (``producer``, ``consumer``).
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

from rmqkit.client.nameserver import NameServerClient
from rmqkit.errors import NotFoundError, RemoteError, RmqkitError, TransportError, UsageError, WireError
from rmqkit.transport.pool import Requester
from rmqkit.wire.bodies import TopicRoute


class Routes:
    """The last known route of each topic; safe for use by several threads."""

    def __init__(self, pool: Requester, nameservers: Sequence[str], *, timeout_s: float = 3.0) -> None:
        if isinstance(nameservers, str) or not nameservers:
            raise UsageError(f"nameservers is {nameservers!r}", hint='give a sequence of addresses: ["127.0.0.1:9876"]')
        self._clients = tuple(NameServerClient(pool, address, timeout_s=timeout_s) for address in nameservers)
        self._lock = threading.Lock()
        self._known: dict[str, TopicRoute] = {}

    def get(self, topic: str) -> TopicRoute:
        """The route, asked for when it is not known. Raises what the last NameServer asked raised."""
        route = self._known.get(topic)
        return route if route is not None else self.refresh(topic)

    def forget(self, topic: str) -> None:
        """Ask again at the next use: something behind the route failed."""
        with self._lock:
            self._known.pop(topic, None)

    def refresh(self, topic: str) -> TopicRoute:
        """Ask now. A NameServer that fails, or knows no route, is no reason not to ask the next one."""
        failures: list[RmqkitError] = []
        for client in self._clients:
            try:
                route = client.topic_route(topic)
            except (NotFoundError, TransportError, RemoteError, WireError) as error:
                failures.append(error)
                continue
            with self._lock:
                self._known[topic] = route
            return route
        self.forget(topic)
        unknown = [error for error in failures if isinstance(error, NotFoundError)]
        raise (unknown or failures)[-1]
