"""Questions to one NameServer.

What belongs here: its requests, as methods. What does not: which of several NameServers to ask (``routes``).
"""

from __future__ import annotations

from rmqkit.client.calls import ask
from rmqkit.errors import NotFoundError
from rmqkit.transport.pool import Requester
from rmqkit.wire.bodies import (
    ClusterInfo,
    TopicRoute,
    parse_cluster_info,
    parse_route,
    parse_topic_list,
)
from rmqkit.wire.codes import RequestCode, ResponseCode


class NameServerClient:
    """One NameServer at ``address``. It knows what registered with *it*, which may differ from its
    neighbours.

    Methods raise :class:`~rmqkit.errors.TransportError` when it does not answer.
    """

    def __init__(self, pool: Requester, address: str, *, timeout_s: float = 3.0) -> None:
        self.address = address
        self._pool = pool
        self._timeout_s = timeout_s

    def cluster_info(self) -> ClusterInfo:
        """All clusters and broker groups; empty while nothing has registered."""
        answer = ask(self._pool, self.address, RequestCode.GET_BROKER_CLUSTER_INFO, timeout_s=self._timeout_s)
        return parse_cluster_info(answer.body)

    def topic_route(self, topic: str) -> TopicRoute:
        """Where ``topic`` lives. Raises :class:`NotFoundError` when this NameServer has no route for it."""
        answer = ask(
            self._pool,
            self.address,
            RequestCode.GET_ROUTEINTO_BY_TOPIC,
            ext={"topic": topic, "acceptStandardJsonOnly": True},
            timeout_s=self._timeout_s,
            accept=(ResponseCode.TOPIC_NOT_EXIST,),
        )
        if answer.code == ResponseCode.TOPIC_NOT_EXIST:
            raise NotFoundError(
                f"NameServer {self.address} has no route for topic {topic!r}",
                hint="the topic does not exist, or no master that has it is registered at the moment",
            )
        return parse_route(answer.body)

    def topics(self) -> tuple[str, ...]:
        """Names of all topics, the system's own among them."""
        answer = ask(
            self._pool,
            self.address,
            RequestCode.GET_ALL_TOPIC_LIST_FROM_NAMESERVER,
            timeout_s=self._timeout_s,
        )
        return parse_topic_list(answer.body)

    def delete_topic(self, topic: str) -> None:
        """Forget the route of ``topic``; a master that has it brings it back at its next registration."""
        ask(
            self._pool,
            self.address,
            RequestCode.DELETE_TOPIC_IN_NAMESRV,
            ext={"topic": topic},
            timeout_s=self._timeout_s,
        )
