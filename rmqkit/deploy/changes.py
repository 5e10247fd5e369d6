"""What a deploy would change, from what is wanted and what is there, and in which order: pure.

What belongs here: comparing, and cutting into waves that keep every group's quorum. What does not: asking engines or
brokers, and doing any of it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from rmqkit.deploy.composing import Wanted
from rmqkit.deploy.engines import Container
from rmqkit.topology.names import LABEL_EDITION, LABEL_GROUP, LABEL_PEER, LABEL_ROLE, ROLE_BROKER

CONF: Final = "RMQ_CONF_"
_SECRET: Final = re.compile(r"SECRET|PASSWORD|PASSWD|ACCESS_?KEY|TOKEN", re.IGNORECASE)
_PEERS: Final = f"{CONF}dLegerPeers"


class Act(StrEnum):
    """What becomes of one process."""

    CREATE = "create"
    RECREATE = "recreate"
    START = "start"
    MOVE = "move"
    REMOVE = "remove"
    KEEP = "keep"


@dataclass(frozen=True, slots=True)
class Present:
    """A container of the deployment, and the host that it is on."""

    host: str
    container: Container

    @property
    def group(self) -> str:
        """Its group; empty for a NameServer."""
        return self.container.labels.get(LABEL_GROUP, "") if self.is_broker else ""

    @property
    def is_broker(self) -> bool:
        """A broker, or else a NameServer."""
        return self.container.labels.get(LABEL_ROLE) == ROLE_BROKER

    @property
    def peer(self) -> str:
        """Its id in the group, or a NameServer's name."""
        return self.container.labels.get(LABEL_PEER, "")


@dataclass(frozen=True, slots=True)
class Change:
    """One process: what is done with it, and why, in words. ``before`` is its container, where there is one."""

    act: Act
    host: str
    service: str
    group: str = ""
    peer: str = ""
    why: tuple[str, ...] = ()
    before: Present | None = None

    @property
    def interrupts(self) -> bool:
        """Whether something that runs is stopped for it."""
        return self.act in (Act.RECREATE, Act.MOVE) and self.before is not None and self.before.container.up

    def __str__(self) -> str:
        moved = f" from {self.before.host}" if self.act is Act.MOVE and self.before else ""
        return f"{self.host}: {self.act} {self.service}{moved}{': ' if self.why else ''}{'; '.join(self.why)}"


@dataclass(frozen=True, slots=True)
class Wave:
    """Changes that are made together; after them all must be well again."""

    changes: tuple[Change, ...]

    @property
    def of_brokers(self) -> bool:
        """Whether any broker is among them."""
        return any(change.group for change in self.changes)

    def __str__(self) -> str:
        return ", ".join(f"{change.service} on {change.host}" for change in self.changes)


def compare(wanted: Iterable[Wanted], present: Iterable[Present], images: Mapping[str, str]) -> list[Change]:
    """Every process with what is to be done; ``images`` maps an image's name to the id that hosts are to run."""
    there = {(each.host, each.container.service): each for each in present}
    rest = dict(there)
    found: list[Change] = []
    for want in wanted:
        before = rest.pop((want.host, want.service), None)
        found.append(_change(want, before, images.get(want.image, "")))
    # A broker that is wanted on one host, and is there on another, has moved.
    for number, change in enumerate(found):
        if change.act is not Act.CREATE or not change.peer:
            continue
        other = next((each for each in rest.values() if (each.group, each.peer) == (change.group, change.peer)), None)
        if other is not None:
            del rest[(other.host, other.container.service)]
            why = ("the store does not come along: it is filled again by the others",) if change.group else ()
            found[number] = Change(
                Act.MOVE, change.host, change.service, change.group, change.peer, why=why, before=other
            )
    for left in rest.values():
        why = (f"not in the specification any more ({left.container.status}); its volume stays",)
        found.append(Change(Act.REMOVE, left.host, left.container.service, left.group, left.peer, why, left))
    return found


def _change(want: Wanted, before: Present | None, image_id: str) -> Change:
    if before is None:
        return Change(Act.CREATE, want.host, want.service, want.group, want.peer)
    why = list(_differences(want, before.container, image_id))
    if why:
        act = Act.RECREATE
    elif before.container.status != "running":
        act, why = Act.START, [f"it is {before.container.status}, exit code {before.container.exit_code}"]
    else:
        act = Act.KEEP
    return Change(act, want.host, want.service, want.group, want.peer, tuple(why), before)


def _differences(want: Wanted, container: Container, image_id: str) -> Iterable[str]:
    if image_id and container.image_id != image_id:
        yield f"image {_short(container.image_id)} → {_short(image_id)} ({want.image})"
    if container.hash == want.hash:
        return
    editions = container.labels.get(LABEL_EDITION, ""), want.labels.get(LABEL_EDITION, "")
    said = editions[0] != editions[1]
    if said:
        yield f"edition {editions[0]} → {editions[1]}"
    for key, value in want.environment.items():
        before = container.environment.get(key)
        if before != value:
            said = True
            name = key.removeprefix(CONF)
            shown = (before if before is not None else "not set", value)
            yield f"{name} changed" if _SECRET.search(name) else f"{name}: {shown[0]} → {shown[1]}"
    for key in container.environment:
        if key.startswith(CONF) and key not in want.environment:
            said = True
            yield f"{key.removeprefix(CONF)} is not set any more"
    if not said:
        yield "settings of its container differ (limits, volumes, user, labels)"


def refusals(changes: Sequence[Change], wanted: Iterable[Wanted], *, remove: bool) -> list[str]:
    """What stands against these changes, in words; empty where nothing does.

    DLedger cannot change how many members a group has while it runs, and a store does not move by itself.
    """
    found = []
    want = {(each.host, each.service): each for each in wanted}
    for change in changes:
        before = change.before.container if change.before else None
        if change.act is Act.MOVE and change.before and change.before.host == change.host:
            found.append(
                f"{change.host}: {change.before.container.service} would be called {change.service}: its volume goes "
                "by that name, and would be left behind"
            )
        elif change.act is Act.MOVE and not remove:
            assert change.before is not None
            found.append(f"{change.service} runs on {change.before.host} and is to run on {change.host} (--remove)")
        elif change.act is Act.RECREATE and before is not None and change.group:
            asked = want[(change.host, change.service)].environment.get(_PEERS, "")
            old, new = _ids(before.environment.get(_PEERS, "")), _ids(asked)
            if old and old != new:
                found.append(
                    f"{change.group} has members {', '.join(sorted(old))}, and is to have {', '.join(sorted(new))}: "
                    "DLedger has no change of membership"
                )
    return list(dict.fromkeys(found))


def waves(
    changes: Sequence[Change], *, serving: Collection[str], leaders: Mapping[str, str], hosts: Sequence[str]
) -> list[Wave]:
    """The changes in the order in which they are made.

    NameServers first (Compose brings those of a host up with its brokers): what interrupts nothing at once, others one
    by one. Then brokers: at once what interrupts nothing, and groups that do not serve now, which have nothing to keep;
    those of ``serving`` groups one host at a time, followers first, each group's leader (``leaders``: its peer) last,
    never two replicas of a group together. At last what is removed.
    """
    acts = [change for change in changes if change.act not in (Act.KEEP, Act.REMOVE)]
    careful = [change for change in acts if change.interrupts and (change.group in serving or not change.group)]
    if not serving:
        careful = []
    free = [change for change in acts if change not in careful]
    found = [Wave(tuple(change for change in free if not change.group))]
    found += [Wave((change,)) for change in careful if not change.group]
    found.append(Wave(tuple(change for change in free if change.group)))
    brokers = [change for change in careful if change.group]
    for leads in (False, True):
        for host in hosts:
            left = [c for c in brokers if c.host == host and (leaders.get(c.group) == c.peer) is leads]
            while left:
                first = {change.group: change for change in reversed(left)}
                found.append(Wave(tuple(change for change in left if first[change.group] is change)))
                left = [change for change in left if first[change.group] is not change]
    found.append(Wave(tuple(change for change in changes if change.act is Act.REMOVE)))
    return [wave for wave in found if wave.changes]


def _ids(peers: str) -> frozenset[str]:
    return frozenset(entry.partition("-")[0] for entry in peers.split(";") if "-" in entry)


def _short(image_id: str) -> str:
    return image_id.removeprefix("sha256:")[:12]
