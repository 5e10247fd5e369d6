"""Names by which the kit finds its own containers, networks and volumes again. Only constants belong here."""

from __future__ import annotations

from typing import Final

LABEL_RUN: Final = "rmqkit.run"
"""Id of the run that made the thing; faults put it into their firewall rules' comments too."""
LABEL_OWNER_PID: Final = "rmqkit.owner-pid"
"""Process that answers for the thing: when it is gone, what it left behind is a leftover."""
LABEL_HOST: Final = "rmqkit.host"
"""Host of the owner process: a process id means nothing on another machine."""
LABEL_SPEC: Final = "rmqkit.spec"
"""``ClusterSpec.to_json()``, so that a kept cluster can be attached to from its labels alone."""
LABEL_EDITION: Final = "rmqkit.edition"
LABEL_ROLE: Final = "rmqkit.role"
LABEL_PEER: Final = "rmqkit.peer"
LABEL_GROUP: Final = "rmqkit.group"

ROLE_NET: Final = "net"
ROLE_NAMESERVER: Final = "nameserver"
ROLE_BROKER: Final = "broker"
