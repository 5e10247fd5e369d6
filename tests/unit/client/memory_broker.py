"""A broker in memory for tests of reading: queues of stored messages behind a scripted pool."""

from __future__ import annotations

import json
import zlib

from rmqkit.transport.scripted import ScriptedPool
from rmqkit.wire.codes import RequestCode
from rmqkit.wire.frames import Command
from rmqkit.wire.messages import StoredMessage, encode_properties, encode_stored, host_bytes

HOST = host_bytes("127.0.0.1", 30_911)


def stored(queue_id: int, queue_offset: int, *, topic: str = "T") -> StoredMessage:
    """A message whose body tells where it is."""
    body = f"{queue_id}/{queue_offset}".encode()
    return StoredMessage(
        queue_id=queue_id,
        queue_offset=queue_offset,
        physical_offset=queue_offset * 200,
        sys_flag=0,
        born_ms=1,
        store_ms=2,
        born_host_bytes=HOST,
        store_host_bytes=HOST,
        reconsume_times=0,
        prepared_offset=0,
        stored_body=body,
        body_crc=zlib.crc32(body) & 0x7FFFFFFF,
        topic=topic,
        properties_bytes=encode_properties({"UNIQ_KEY": f"ID{queue_id}.{queue_offset}"}).encode(),
    )


class MemoryBroker:
    """Answers pulls, ranges and offsets for topic T; ``queues`` maps queue id to messages."""

    def __init__(self, pool: ScriptedPool, address: str, *, queues: dict[int, list[StoredMessage]]) -> None:
        self.queues = queues
        self.committed: dict[int, int] = {}
        self.batch = 2
        for code, handler in (
            (RequestCode.PULL_MESSAGE, self.pull),
            (RequestCode.GET_MAX_OFFSET, lambda c: self._offset(c, self._end)),
            (RequestCode.GET_MIN_OFFSET, lambda c: self._offset(c, self._start)),
            (RequestCode.GET_TOPIC_STATS_INFO, self._stats),
            (RequestCode.QUERY_CONSUMER_OFFSET, self._query),
            (RequestCode.UPDATE_CONSUMER_OFFSET, self._commit),
        ):
            pool.on(address, code, handler)

    def pull(self, command: Command) -> Command:
        queue_id, offset = int(command.ext["queueId"]), int(command.ext["queueOffset"])
        found = [message for message in self.queues[queue_id] if message.queue_offset >= offset][: self.batch]
        following = found[-1].queue_offset + 1 if found else offset
        return Command.answer(
            command,
            code=0 if found else 19,
            remark="FOUND" if found else "OFFSET_OVERFLOW_ONE",
            ext={
                "nextBeginOffset": following,
                "minOffset": self._start(queue_id),
                "maxOffset": self._end(queue_id),
            },
            body=b"".join(map(encode_stored, found)),
        )

    def _start(self, queue_id: int) -> int:
        return self.queues[queue_id][0].queue_offset if self.queues[queue_id] else 0

    def _end(self, queue_id: int) -> int:
        return self.queues[queue_id][-1].queue_offset + 1 if self.queues[queue_id] else 0

    def _offset(self, command: Command, of: object) -> Command:
        return Command.answer(command, ext={"offset": of(int(command.ext["queueId"]))})  # type: ignore[operator]

    def _stats(self, command: Command) -> Command:
        items = (
            f'{{"brokerName":"b","queueId":{queue_id},"topic":"T"}}:'
            + json.dumps(
                {"minOffset": self._start(queue_id), "maxOffset": self._end(queue_id), "lastUpdateTimestamp": 1}
            )
            for queue_id in self.queues
        )
        return Command.answer(command, body=('{"offsetTable":{' + ",".join(items) + "}}").encode())

    def _query(self, command: Command) -> Command:
        offset = self.committed.get(int(command.ext["queueId"]))
        return Command.answer(command, code=22 if offset is None else 0, ext={"offset": offset})

    def _commit(self, command: Command) -> Command:
        self.committed[int(command.ext["queueId"])] = int(command.ext["commitOffset"])
        return Command.answer(command)
