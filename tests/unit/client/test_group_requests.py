"""Promises of what rmqkit.client.broker asks about groups, and of rmqkit.client.membership and rmqkit.client.lag."""

from __future__ import annotations

import json

import pytest
from captured_answers import fail, say
from memory_broker import stored

from rmqkit.client.broker import BrokerClient
from rmqkit.client.heartbeat import ConsumerMember, Subscription
from rmqkit.client.lag import ask_lag
from rmqkit.client.membership import Membership, broker_addresses
from rmqkit.client.messagequeue import MessageQueue
from rmqkit.errors import ClusterError, ConnectFailedError, OtherSubscriptionError, RemoteError, UsageError
from rmqkit.transport.scripted import ScriptedPool
from rmqkit.wire.bodies import parse_consume_stats, parse_consumer_connections, parse_reset_offsets
from rmqkit.wire.codes import RequestCode

ADDRESS, OTHER = "127.0.0.1:30911", "127.0.0.1:30921"

# As 4.9.8 answers 203, shortened.
ONLINE = (
    b'{"connectionSet":[{"clientAddr":"127.0.0.1:5","clientId":"c1","language":"JAVA","version":401}],'
    b'"consumeFromWhere":"CONSUME_FROM_LAST_OFFSET","consumeType":"CONSUME_PASSIVELY","messageModel":"CLUSTERING",'
    b'"subscriptionTable":{"T":{"classFilterMode":false,"codeSet":[65],"expressionType":"TAG","subString":"A",'
    b'"subVersion":17,"tagsSet":["A"],"topic":"T"}}}'
)
STATS = (
    b'{"consumeTps":0.0,"offsetTable":{{"brokerName":"b","queueId":1,"topic":"T"}:{"brokerOffset":9,"consumerOffset":4,'
    b'"lastTimestamp":0},{"brokerName":"b","queueId":0,"topic":"T"}:{"brokerOffset":5,"consumerOffset":5,'
    b'"lastTimestamp":7}}}'
)


@pytest.fixture
def pool() -> ScriptedPool:
    return ScriptedPool()


@pytest.fixture
def broker(pool: ScriptedPool) -> BrokerClient:
    return BrokerClient(pool, ADDRESS)


def test_members_are_listed_and_nobody_is_no_error(pool: ScriptedPool, broker: BrokerClient) -> None:
    pool.on(
        ADDRESS,
        RequestCode.GET_CONSUMER_LIST_BY_GROUP,
        say(body=b'{"consumerIdList":["a","a","b"]}'),
        say(code=1, remark="no consumer for this group, g"),
        say(code=1, remark="something else"),
    )
    assert broker.consumer_ids("g") == ("a", "a", "b")
    assert broker.consumer_ids("g") == ()
    with pytest.raises(RemoteError, match="something else"):
        broker.consumer_ids("g")


def test_connections_show_members_and_subscription(pool: ScriptedPool, broker: BrokerClient) -> None:
    pool.on(ADDRESS, RequestCode.GET_CONSUMER_CONNECTION_LIST, say(body=ONLINE), say(code=206, remark="not online"))
    found = broker.consumer_connections("g")
    assert found == parse_consumer_connections(ONLINE)
    assert found is not None
    assert dict(found.members) == {"c1": "127.0.0.1:5"}
    assert found.subscriptions["T"].tags == ("A",)
    assert broker.consumer_connections("g") is None


def test_a_message_goes_back_by_its_place_in_the_log(pool: ScriptedPool, broker: BrokerClient) -> None:
    pool.on(ADDRESS, RequestCode.CONSUMER_SEND_MSG_BACK, say())
    message = stored(0, 3)
    broker.send_back(message, group="g", delay_level=2, max_times=5)
    assert pool.asked[0].command.ext == {
        "offset": "600",
        "group": "g",
        "delayLevel": "2",
        "originMsgId": message.msg_id,
        "originTopic": "T",
        "unitMode": "false",
        "maxReconsumeTimes": "5",
    }


def test_lag_joins_what_the_master_has_with_what_a_member_holds(pool: ScriptedPool, broker: BrokerClient) -> None:
    pool.on(ADDRESS, RequestCode.GET_CONSUME_STATS, say(body=STATS))
    own = {MessageQueue("T", "b", 1): (8, 9)}
    rows = ask_lag([broker], "g", ("T",), own)
    assert [(row.queue.queue_id, row.committed, row.acknowledged, row.behind) for row in rows] == [
        (0, 5, None, 0),
        (1, 4, 8, 1),
    ]
    assert [each.end for each in parse_consume_stats(STATS)] == [5, 9]


def test_a_retry_topic_that_does_not_exist_yet_is_no_lag(pool: ScriptedPool, broker: BrokerClient) -> None:
    pool.on(ADDRESS, RequestCode.GET_CONSUME_STATS, say(code=17, remark="no topic"))
    assert ask_lag([broker], "g", ("%RETRY%g",), {}) == ()
    with pytest.raises(RemoteError):
        ask_lag([broker], "g", ("T",), {})


def test_an_answer_that_leaves_out_a_topic_or_a_queue_held_is_not_taken_for_no_lag(
    pool: ScriptedPool, broker: BrokerClient
) -> None:
    pool.on(ADDRESS, RequestCode.GET_CONSUME_STATS, say(body=b'{"offsetTable":{}}'))
    with pytest.raises(ClusterError, match="how far g is in T"):
        ask_lag([broker], "g", ("T",), {})
    pool.on(ADDRESS, RequestCode.GET_CONSUME_STATS, say(body=STATS))
    with pytest.raises(ClusterError, match="T b/2"):
        ask_lag([broker], "g", ("T",), {MessageQueue("T", "b", 2): (0, 0)})


@pytest.mark.parametrize(
    "body",
    [
        b'{"offsetTable":{{"brokerName":"b","queueId":1,"topic":"T"}:7}}',
        b'{"offsetTable":[{"brokerName":"b","offset":7,"queueId":1,"topic":"T"}]}',
    ],
    ids=["table", "list"],
)
def test_offsets_to_reset_are_read_in_both_forms(body: bytes) -> None:
    assert parse_reset_offsets(body) == {("T", "b", 1): 7}


# -- membership


def membership(pool: ScriptedPool, *, client_id: str = "me", expression: str = "A", kind: str = "TAG") -> Membership:
    subscriptions = (Subscription("T", expression, kind=kind), Subscription("%RETRY%g"))
    return Membership(pool, client_id, ConsumerMember("g", subscriptions), timeout_s=1)  # type: ignore[arg-type]


def test_every_broker_hears_the_heartbeat_and_who_did_not_is_told(pool: ScriptedPool) -> None:
    pool.on(ADDRESS, RequestCode.HEART_BEAT, say())
    failed = membership(pool).beat((ADDRESS, OTHER))
    assert set(failed) == {OTHER}
    assert isinstance(failed[OTHER], ConnectFailedError)
    consumer = json.loads(pool.asked[0].command.body)["consumerDataSet"][0]
    assert [each["topic"] for each in consumer["subscriptionDataSet"]] == ["T", "%RETRY%g"]
    pool.on(ADDRESS, RequestCode.HEART_BEAT, say(code=1, remark="no"))
    assert isinstance(membership(pool).beat((ADDRESS,))[ADDRESS], RemoteError)


def test_who_is_there_is_asked_of_the_first_that_answers(pool: ScriptedPool) -> None:
    pool.on(OTHER, RequestCode.GET_CONSUMER_LIST_BY_GROUP, say(body=b'{"consumerIdList":["a"]}'))
    assert membership(pool).members((ADDRESS, OTHER)) == ("a",)
    with pytest.raises(ConnectFailedError):
        membership(pool).members((ADDRESS,))


@pytest.mark.parametrize(
    ("client_id", "expression", "raises"), [("me", "A", False), ("me", "B", True), ("c1", "B", False)]
)
def test_another_subscription_is_found_but_for_our_own(
    pool: ScriptedPool, client_id: str, expression: str, *, raises: bool
) -> None:
    pool.on(ADDRESS, RequestCode.GET_CONSUMER_CONNECTION_LIST, say(body=ONLINE))
    ours = membership(pool, client_id=client_id, expression=expression)
    if not raises:
        ours.check_alike((ADDRESS,))
        return
    with pytest.raises(OtherSubscriptionError, match="T: they have A, this consumer B") as caught:
        ours.check_alike((ADDRESS,))
    assert "members: c1" in str(caught.value)


def test_sql_that_a_broker_does_not_take_is_a_usage_error_with_its_words(pool: ScriptedPool) -> None:
    said = "The broker does not support consumer to filter message by SQL92"
    pool.on(ADDRESS, RequestCode.CHECK_CLIENT_CONFIG, say(code=1, remark=said), say(code=23, remark="bad"), say(code=2))
    ours = membership(pool, expression="a > 1", kind="SQL92")
    with pytest.raises(UsageError, match=said):
        ours.check_expressions((ADDRESS,))
    with pytest.raises(UsageError, match="bad"):
        ours.check_expressions((ADDRESS,))
    with pytest.raises(RemoteError, match="SYSTEM_BUSY"):
        ours.check_expressions((ADDRESS,))
    pool.on(ADDRESS, RequestCode.CHECK_CLIENT_CONFIG, fail(AssertionError("tags need no question")))
    membership(pool).check_expressions((ADDRESS,))


def test_masters_are_told_first_and_nobody_twice() -> None:
    assert broker_addresses({"b2": "m2", "b1": "m1"}, ["f", "m1", "m2"]) == ("m1", "m2", "f")
