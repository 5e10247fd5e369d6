"""Who is meant by "leader", "follower", "minority", "majority", "all", "n1" or "RaftNode00/n1".

What belongs here: from words to peers. What does not: whether they may be taken out (``wrapper.check_quorum``).
"""

from __future__ import annotations

from random import Random

from rmqkit.cluster.cluster import Cluster
from rmqkit.cluster.peers import Peer
from rmqkit.errors import NotFoundError, UsageError

ROLES = ("leader", "follower", "minority", "majority", "all")


def group_of(cluster: Cluster, target: str, *, group: str | None = None) -> str:
    """The group that ``target`` lies in: the one before its slash, else ``group``, else the only one.

    Raises NotFoundError for a group that does not exist, or none named where there are several; UsageError for two.
    """
    named, slash, _ = target.partition("/")
    if slash and group is not None and named != group:
        raise UsageError(f"{target!r} of group {group!r} names two groups", hint="name one of them")
    return cluster.members.of(named if slash else group)[0].group


def select(cluster: Cluster, target: str, *, group: str | None = None, rng: Random | None = None) -> tuple[Peer, ...]:
    """The peers of one group that ``target`` means now, in the group's order.

    * ``leader``: the one on whom all views agree; raises NoLeaderError where they do not.
    * ``follower``: one of the others.
    * ``minority``: as many as can go while a majority stays: one of three, two of five. ``majority``: one more than
      half: two of three. Any peers, the leader or not. Raises UsageError where a group of one or two has no minority.
    * ``all``: the whole group.
    * ``n1``, ``RaftNode00/n1``: that one; ``RaftNode00/leader`` works too.

    ``rng`` decides where there is a choice; without one the first in order are taken. Raises NotFoundError, naming what
    there is.
    """
    name = group_of(cluster, target, group=group)
    peers = cluster.members.of(name)
    wanted = target.rpartition("/")[2]
    if wanted == "all":
        return peers
    if wanted == "leader":
        return (cluster.leader(name),)
    if wanted == "follower":
        followers = cluster.followers(name)
        if not followers:
            raise NotFoundError(f"group {name} has no follower: it is one peer", hint="start a group of three or more")
        return (rng.choice(followers) if rng else followers[0],)
    if wanted in ("minority", "majority"):
        count = (len(peers) - 1) // 2 if wanted == "minority" else len(peers) // 2 + 1
        if not count:
            raise UsageError(
                f"group {name} of {len(peers)} has no minority that could go: every peer is needed",
                hint="start a group of three or more",
            )
        chosen = rng.sample(peers, count) if rng else peers[:count]
        return tuple(peer for peer in peers if peer in chosen)
    for peer in peers:
        if peer.id == wanted:
            return (peer,)
    raise NotFoundError(
        f"there is no peer {wanted!r} in group {name}",
        hint=f"peers of this group: {', '.join(peer.id for peer in peers)}; or by role: {', '.join(ROLES)}",
    )
