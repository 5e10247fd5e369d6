"""A consumer's place in its group: telling every broker that it is there, and asking who else is.

What belongs here: heartbeats, the list of members, whether they subscribe alike, leaving. What does not: when
(``groupcontrol``), which queues follow from it (``rebalance``).

Source: MQClientInstance.sendHeartbeatToAllBroker: a consumer's heartbeat goes to masters *and* followers, so that a
follower knows the group when it becomes the leader.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from rmqkit.client.broker import BrokerClient
from rmqkit.client.calls import refusal
from rmqkit.client.heartbeat import SQL92, ConsumerMember, heartbeat, unregister
from rmqkit.client.messagequeue import retry_topic
from rmqkit.client.subscription import differences
from rmqkit.errors import OtherSubscriptionError, RemoteError, RmqkitError, UsageError
from rmqkit.transport.pool import ChannelPool
from rmqkit.wire.codes import RequestCode, ResponseCode
from rmqkit.wire.frames import Command


class Membership:
    """One member of a group. For one thread at a time."""

    def __init__(self, pool: ChannelPool, client_id: str, member: ConsumerMember, *, timeout_s: float) -> None:
        self.client_id = client_id
        self.member = member
        self._pool = pool
        self._timeout_s = timeout_s

    def beat(self, addresses: Sequence[str]) -> dict[str, RmqkitError]:
        """Send a heartbeat to each address, all before the first answer is awaited; the errors by address."""
        return self._ask_all(addresses, heartbeat(self.client_id, consumers=(self.member,)))

    def leave(self, addresses: Sequence[str]) -> dict[str, RmqkitError]:
        """Tell every broker that this member is gone, so that the others take its queues over at once."""
        return self._ask_all(addresses, unregister(self.client_id, consumer_group=self.member.group))

    def members(self, addresses: Iterable[str]) -> tuple[str, ...]:
        """Client ids of the group, from the first of ``addresses`` that answers. Raises what the last one raised."""
        failure: RmqkitError | None = None
        for address in addresses:
            try:
                return self._broker(address).consumer_ids(self.member.group)
            except RmqkitError as error:
                failure = error
        raise failure or UsageError("no broker to ask for the members of a group")

    def check_alike(self, addresses: Iterable[str]) -> None:
        """Raise :class:`OtherSubscriptionError` where the group's online members subscribe otherwise.

        Brokers keep one subscription for a group, that of the latest heartbeat, and members share queues out as if all
        wanted the same topics: with different ones, messages stay unread though everybody is online.
        """
        group = self.member.group
        ours = tuple(each for each in self.member.subscriptions if each.topic != retry_topic(group))
        for address in addresses:
            theirs = self._broker(address).consumer_connections(group)
            if theirs is None or not set(theirs.members) - {self.client_id}:
                continue
            lines = differences(ours, self.member.model.value, theirs, retry_topic=retry_topic(group))
            if lines:
                raise OtherSubscriptionError(
                    f"the consumer group {group} is online at {address} with another subscription"
                    f" ({len(theirs.members)} members)",
                    details=(*lines, f"members: {', '.join(sorted(theirs.members))}"),
                    hint="all members of a group must subscribe to the same topics and tags: use another group,"
                    " or make them alike; on_other_subscription='warn' joins nevertheless",
                )

    def check_expressions(self, addresses: Iterable[str]) -> None:
        """Ask each broker whether it evaluates our SQL92 expressions. Raises :class:`UsageError` with its words."""
        wanted = [each for each in self.member.subscriptions if each.kind == SQL92]
        for address in addresses if wanted else ():
            for each in wanted:
                try:
                    self._broker(address).check_subscription(self.client_id, self.member.group, each.data())
                except RemoteError as error:
                    if error.code not in (ResponseCode.SYSTEM_ERROR, ResponseCode.SUBSCRIPTION_PARSE_FAILED):
                        raise
                    raise UsageError(
                        f"{address} does not take the SQL92 expression {each.expression!r} for {each.topic}:"
                        f" {error.remark.strip()}",
                        hint="brokers evaluate SQL92 with enablePropertyFilter=true only",
                    ) from error

    def _broker(self, address: str) -> BrokerClient:
        return BrokerClient(self._pool, address, timeout_s=self._timeout_s)

    def _ask_all(self, addresses: Sequence[str], command: Command) -> dict[str, RmqkitError]:
        failed: dict[str, RmqkitError] = {}
        tickets = []
        for address in addresses:
            try:
                tickets.append((address, self._pool.begin(address, command, timeout_s=self._timeout_s)))
            except RmqkitError as error:
                failed[address] = error
        for address, ticket in tickets:
            try:
                answer = ticket.answer()
                if answer.code != ResponseCode.SUCCESS:
                    raise refusal(address, RequestCode(command.code), answer)
            except RmqkitError as error:
                failed[address] = error
        return failed


def broker_addresses(masters: Mapping[str, str], others: Iterable[str]) -> tuple[str, ...]:
    """All addresses, masters first, each once: the order in which they are told and asked."""
    first = tuple(masters[name] for name in sorted(masters))
    return tuple(dict.fromkeys((*first, *sorted(others))))
