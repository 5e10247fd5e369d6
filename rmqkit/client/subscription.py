"""What a consumer wants of a topic: tags, or an SQL92 expression that the broker evaluates.

What belongs here: reading expressions, the exact filter on our side, comparing what two members of a group subscribe
to. What does not: the bodies that carry it (``heartbeat``), asking brokers (``broker``).

Source: FilterAPI, SubscriptionData; PullAPIWrapper.processPullResult filters tags again, since a broker compares hash
codes only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rmqkit.client.heartbeat import SQL92, SUBSCRIBE_ALL, Subscription
from rmqkit.client.message import check_topic
from rmqkit.client.messagequeue import DLQ_PREFIX, RETRY_PREFIX
from rmqkit.errors import UsageError
from rmqkit.wire.bodies import ConsumerConnections


@dataclass(frozen=True, slots=True)
class Sql92:
    """An expression over message properties, such as ``Sql92("price > 10 AND region = 'eu'")``.

    Brokers take it with ``enablePropertyFilter=true`` only, and refuse it otherwise.
    """

    expression: str

    def __post_init__(self) -> None:
        if not isinstance(self.expression, str) or not self.expression.strip():
            raise UsageError(f"not an SQL92 expression: {self.expression!r}", hint="give one, or '*' for all messages")


def read_subscription(topic: str, expression: str | Sql92) -> Subscription:
    """The subscription that ``expression`` means: ``*``, ``A || B``, or an :class:`Sql92`.

    Raises :class:`UsageError` for an illegal topic, and for what is most likely not what was meant: an empty tag, or a
    single ``|`` (Java takes ``A | B`` for one tag of that name).
    """
    check_topic(topic)
    if topic.startswith((RETRY_PREFIX, DLQ_PREFIX)):
        raise UsageError(
            f"a group cannot subscribe to {topic!r}",
            hint="its own retry topic it has anyway; read dead letters with Consumer or read_topic_from",
        )
    if isinstance(expression, Sql92):
        return Subscription(topic, expression.expression, kind=SQL92)
    if not isinstance(expression, str) or not expression.strip():
        raise UsageError(
            f"not a subscription to {topic}: {expression!r}", hint="give '*', 'TagA', 'TagA || TagB' or Sql92(...)"
        )
    if expression.strip() == SUBSCRIBE_ALL:
        return Subscription(topic)
    for tag in expression.split("||"):
        if not tag.strip() or "|" in tag or tag.strip() == SUBSCRIBE_ALL:
            raise UsageError(
                f"the subscription {expression!r} to {topic} has the tag {tag.strip()!r}",
                hint="separate tags with '||'; '*' stands alone",
            )
    return Subscription(topic, expression)


def read_subscriptions(topics: Mapping[str, str | Sql92]) -> tuple[Subscription, ...]:
    """One for each topic. Raises :class:`UsageError` for none at all, and as :func:`read_subscription` does."""
    if isinstance(topics, str) or not isinstance(topics, Mapping) or not topics:
        raise UsageError(f"topics is {topics!r}", hint='give a mapping of topic to expression: {"Orders": "*"}')
    return tuple(read_subscription(topic, expression) for topic, expression in topics.items())


def differences(
    ours: tuple[Subscription, ...], model: str, theirs: ConsumerConnections, *, retry_topic: str
) -> tuple[str, ...]:
    """What the group's other members subscribe to otherwise, a line for each difference; empty where all is the same.

    Their tags may come in any order. A retry topic is no difference: every member has it.
    """
    lines: list[str] = []
    if theirs.message_model and theirs.message_model != model:
        lines.append(f"they consume {theirs.message_model}, this consumer {model}")
    mine = {each.topic: _meaning(each.kind, each.expression, each.tags) for each in ours}
    others = {
        topic: _meaning(each.kind, each.expression, each.tags)
        for topic, each in theirs.subscriptions.items()
        if topic != retry_topic
    }
    lines += [
        f"{topic}: they have {others.get(topic, 'no subscription')}, this consumer {mine.get(topic, 'none')}"
        for topic in sorted(mine.keys() | others.keys())
        if mine.get(topic) != others.get(topic)
    ]
    return tuple(lines)


def _meaning(kind: str, expression: str, tags: tuple[str, ...]) -> str:
    if kind not in ("TAG", ""):
        return f"{kind} {expression.strip()}"
    return " || ".join(sorted(set(tags))) or SUBSCRIBE_ALL
