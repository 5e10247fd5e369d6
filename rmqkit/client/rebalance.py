"""Which member of a group consumes which queue: every member computes it alone, from the same lists.

What belongs here: the allocation. What does not: where the lists come from and what follows (``groupconsumer``).

Source: RebalanceImpl.rebalanceByTopic, AllocateMessageQueueAveragely. It must be exactly Java's, in its order of queues
and of client ids too, so that Java's members and ours can share a group.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rmqkit.client.messagequeue import MessageQueue, java_order


def allocate_averagely(
    client_id: str, queues: Iterable[MessageQueue], client_ids: Sequence[str]
) -> tuple[MessageQueue, ...]:
    """The queues of one topic that ``client_id`` consumes, in a group whose members a broker lists as ``client_ids``.

    None when it is not listed. An id that is listed twice (its old connection is not closed yet) counts twice, as in
    Java: all members must come to the same result.
    """
    ordered = sorted(queues, key=lambda queue: queue.order)
    members = sorted(client_ids, key=java_order)
    if client_id not in members or not ordered:
        return ()
    index = members.index(client_id)
    share, rest = divmod(len(ordered), len(members))
    size = max(1, share + 1 if index < rest else share)
    start = index * size if index < rest else index * size + rest
    return tuple(ordered[start : start + size])
