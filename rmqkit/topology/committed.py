"""The two files of ``compose/``: the Compose file for one machine or three hosts, and its ``.env.example``.

What belongs here: what those two files are rendered from, and the documented sizes of production machines. What
does not: reading and writing them (``scripts/render-compose``).
"""

from __future__ import annotations

from functools import cache
from typing import Final

from rmqkit.topology import standard
from rmqkit.topology.compose import ComposeFile, compose_file
from rmqkit.topology.composedoc import in_sections
from rmqkit.topology.spec import ClusterSpec
from rmqkit.topology.values import Variable

NAMESERVER_MACHINE: Final = {"RMQ_NAMESRV_HEAP": "4g", "RMQ_NAMESRV_MEMORY": "8g", "RMQ_NOFILE": "655350"}
"""The tutorial's 8C16G: the heap of bin/runserver.sh; the limit leaves room for threads, buffers and the system."""
BROKER_MACHINE: Final = {
    "RMQ_BROKER_HEAP": "8g",
    "RMQ_BROKER_DIRECT": "8g",
    "RMQ_BROKER_MEMORY": "28g",
    "RMQ_SEND_THREADS": "16",
    "RMQ_NOFILE": "655350",
}
"""The tutorial's 16C32G: the heap of bin/runbroker.sh; what heap and direct memory leave is page cache, out of which
consumers are served. One thread for each core; open files as bin/os.sh sets them."""

_HEAD: Final = """\
Every variable of docker-compose.dledger.yml, with its default. Copy this file to `.env` beside the Compose file,
take the # off the lines that you change, and delete or keep the rest: a line that is commented out changes nothing.
Rendered like the Compose file itself; scripts/render-compose writes it again.

On one machine nothing needs to be set. On three hosts what runs here differs, and the addresses are alike on all of
them. On the host of n1, for example:

    RMQ_NAMESRV0=0
    RMQ_NAMESRV1=1
    RMQ_NAMESRV2=0
    RMQ_N0=0
    RMQ_N1=1
    RMQ_N2=0
    RMQ_N0_HOST=10.0.0.1
    RMQ_N1_HOST=10.0.0.2
    RMQ_N2_HOST=10.0.0.3
    RMQ_NAMESRV_ADDR=10.0.0.1:9876;10.0.0.2:9876;10.0.0.3:9876

`rmqkit doctor .env` looks for what people get wrong here.
"""


@cache
def committed_compose(*, parametrized: bool = True) -> ComposeFile:
    """``compose/docker-compose.dledger.yml``: the tutorial's cluster, and two NameServers more that are off.

    Not ``parametrized``: the same written out, as it is when no variable is set.
    """
    stock = ClusterSpec.stock()
    spares = standard.spare_nameservers()
    return compose_file(
        stock.replace(nameservers=(*stock.nameservers, *spares)),
        parametrized=parametrized,
        comments=parametrized,
        spare=[server.name for server in spares],
    )


def env_example() -> str:
    """``compose/.env.example``: each variable of that file with its meaning and default, commented out."""
    lines = [*_comment(_HEAD), ""]
    for title, values in (
        ("a NameServer on 8 cores and 16 GB", NAMESERVER_MACHINE),
        ("a broker on 16 cores and 32 GB, a machine of its own", BROKER_MACHINE),
    ):
        lines += [f"# Production sizes, {title}:", "#"]
        lines += [*(f"#     {name}={value}" for name, value in values.items()), ""]
    for section, rows in in_sections(committed_compose().variables):
        lines += ["", f"# ---- {section} ----", ""]
        before = None
        for row in rows:
            if row.meaning != before:
                lines.append(f"# {row.meaning.text}")
            before = row.meaning
            lines.append(f"#{_assignment(row)}")
    return "\n".join(lines) + "\n"


def _comment(text: str) -> list[str]:
    return [f"# {line}".rstrip() for line in text.splitlines()]


def _assignment(variable: Variable) -> str:
    return f"{variable.name}={variable.default}"
