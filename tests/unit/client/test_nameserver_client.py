"""Promises of rmqkit.client.nameserver and rmqkit.client.routes."""

from __future__ import annotations

import pytest
from captured_answers import VERSIONS, fail, play, request, say

from rmqkit.client.nameserver import NameServerClient
from rmqkit.client.routes import Routes
from rmqkit.errors import ConnectFailedError, NotFoundError, RemoteError, UsageError
from rmqkit.transport.scripted import ScriptedPool
from rmqkit.wire.codes import RequestCode
from rmqkit.wire.frames import encode

ONE, TWO = "127.0.0.1:9876", "127.0.0.1:9877"
ROUTE = RequestCode.GET_ROUTEINTO_BY_TOPIC


@pytest.fixture
def pool() -> ScriptedPool:
    return ScriptedPool()


def sent(pool: ScriptedPool) -> bytes:
    return encode(pool.asked[-1].command, opaque=7)


@pytest.mark.parametrize("version", VERSIONS)
def test_questions_and_answers_are_those_of_real_nameservers(pool: ScriptedPool, version: str) -> None:
    client = NameServerClient(pool, ONE)
    pool.on(ONE, RequestCode.GET_BROKER_CLUSTER_INFO, play(version, "cluster_info"))
    pool.on(ONE, ROUTE, play(version, "route"))
    pool.on(ONE, RequestCode.GET_ALL_TOPIC_LIST_FROM_NAMESERVER, play(version, "topics"))

    group = client.cluster_info().brokers["RaftNode00"]
    assert group.master is not None
    assert sent(pool) == request(version, "cluster_info")

    route = client.topic_route("VectorTopic")
    assert route.broker("RaftNode00") == group
    assert sent(pool) == request(version, "route")

    assert "VectorTopic" in client.topics()
    assert sent(pool) == request(version, "topics")


@pytest.mark.parametrize("version", VERSIONS)
def test_an_unknown_topic_is_not_found(pool: ScriptedPool, version: str) -> None:
    pool.on(ONE, ROUTE, play(version, "route_unknown"))
    with pytest.raises(NotFoundError, match="no route for topic 'NoSuchTopic'") as caught:
        NameServerClient(pool, ONE).topic_route("NoSuchTopic")
    assert ONE in str(caught.value)


def test_a_refusal_names_request_code_and_the_servers_words(pool: ScriptedPool) -> None:
    pool.on(ONE, RequestCode.DELETE_TOPIC_IN_NAMESRV, say(code=1, remark="out of order"))
    with pytest.raises(RemoteError) as caught:
        NameServerClient(pool, ONE).delete_topic("T")
    assert str(caught.value) == (f"{ONE} refused request 216 DELETE_TOPIC_IN_NAMESRV: 1 SYSTEM_ERROR (out of order)")
    assert (caught.value.code, caught.value.remark) == (1, "out of order")


def test_the_next_nameserver_is_asked_when_one_is_down_or_knows_nothing(pool: ScriptedPool) -> None:
    routes = Routes(pool, [ONE, TWO])
    pool.on(TWO, ROUTE, play("4.9.8", "route"))
    assert routes.get("VectorTopic").queues
    pool.on(ONE, ROUTE, play("4.9.8", "route_unknown"))
    routes.forget("VectorTopic")
    assert routes.get("VectorTopic").queues
    assert pool.codes(ONE) == (ROUTE, ROUTE)


def test_a_route_is_asked_for_once_until_it_is_forgotten(pool: ScriptedPool) -> None:
    routes = Routes(pool, [ONE])
    pool.on(ONE, ROUTE, play("4.9.8", "route"))
    routes.get("T")
    routes.get("T")
    assert len(pool.asked) == 1
    routes.forget("T")
    routes.get("T")
    assert len(pool.asked) == 2


def test_not_found_wins_over_a_nameserver_that_is_down(pool: ScriptedPool) -> None:
    pool.on(ONE, ROUTE, play("4.9.8", "route_unknown"))
    pool.on(TWO, ROUTE, fail(ConnectFailedError("down", address=TWO, request_sent=False)))
    with pytest.raises(NotFoundError):
        Routes(pool, [ONE, TWO]).get("T")


def test_all_down_raises_what_the_last_one_raised(pool: ScriptedPool) -> None:
    with pytest.raises(ConnectFailedError, match=TWO):
        Routes(pool, [ONE, TWO]).get("T")


@pytest.mark.parametrize("nameservers", ["127.0.0.1:9876", [], ()])
def test_one_text_or_nothing_is_no_list_of_nameservers(pool: ScriptedPool, nameservers: object) -> None:
    with pytest.raises(UsageError, match="sequence of addresses"):
        Routes(pool, nameservers)  # type: ignore[arg-type]
