"""What brokers ask of a group's members: to look at who is there again, and to go on at other offsets.

What belongs here: taking the request and answering it. What does not: acting on it (``groupcontrol``).
"""

from __future__ import annotations

from dataclasses import dataclass

from rmqkit.client.groupstate import Ask, GroupState
from rmqkit.client.messagequeue import MessageQueue
from rmqkit.wire.bodies import parse_reset_offsets
from rmqkit.wire.codes import RequestCode
from rmqkit.wire.frames import Command


@dataclass(frozen=True, slots=True)
class Asked:
    """The member of one group, as a pool's ``on_request``: called by whichever thread reads."""

    group: str
    state: GroupState

    def __call__(self, _address: str, command: Command) -> Command | None:
        """The answer; None for what members are not asked."""
        if command.code == RequestCode.NOTIFY_CONSUMER_IDS_CHANGED:
            if command.ext.get("consumerGroup") == self.group:
                self.state.ask(Ask.REBALANCE)
            return Command.answer(command)
        if command.code == RequestCode.RESET_CONSUMER_CLIENT_OFFSET:
            if command.ext.get("group") == self.group:
                offsets = parse_reset_offsets(command.body)
                with self.state.lock:
                    self.state.resets.append({MessageQueue(*queue): offset for queue, offset in offsets.items()})
                    self.state.wake.notify_all()
            return Command.answer(command)
        return None
