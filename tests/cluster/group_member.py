"""A member of a consumer group in a process of its own, to be killed: NAMESERVERS GROUP TOPIC FILE.

Writes the numbers of the queues it holds to FILE, whenever they change, as JSON.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from rmqkit.client.groupconsumer import GroupConsumer


def main() -> None:
    nameservers, group, topic, file = sys.argv[1:]
    written: list[int] | None = None
    with GroupConsumer(nameservers.split(";"), group=group, topics={topic: "*"}) as consumer:
        while os.getppid() != 1:  # not without the test
            consumer.poll(0.05)
            held = [queue.queue_id for queue in consumer.assignment if queue.topic == topic]
            if held != written:
                new = Path(f"{file}.new")
                new.write_text(json.dumps(held), encoding="utf-8")
                new.replace(file)
                written = held


if __name__ == "__main__":
    main()
