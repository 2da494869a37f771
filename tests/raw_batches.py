"""Batches of records as another client may write them, and kafka-python's producer does not."""

import time
from collections.abc import Sequence

from kafka import KafkaAdminClient, TopicPartition
from kafka.errors import for_code
from kafka.protocol.producer import ProduceRequest
from kafka.record.memory_records import MemoryRecordsBuilder

NEWEST_FORMAT = 2
CODECS = (None, "gzip", "snappy", "lz4", "zstd")
NOT_UTF8 = b"\xff\xfename"


class RawName(str):
    """A header's name that is on the wire what no text is."""

    __slots__ = ()

    def encode(self, *_: object) -> bytes:
        """Return the bytes."""
        return NOT_UTF8


RawRecord = tuple[bytes, bytes | None, Sequence[tuple[str, bytes | None]]]
"""Value, key and headers."""


def append_batch(bootstrap: str, topic: str, records: Sequence[RawRecord], codec: str | None = None) -> None:
    """Append the records to partition 0 as one batch."""
    builder = MemoryRecordsBuilder(magic=NEWEST_FORMAT, compression_type=CODECS.index(codec), batch_size=2**20)
    for value, key, headers in records:
        builder.append(time.time_ns() // 1_000_000, key, value, list(headers))
    builder.close()
    partition = ProduceRequest.TopicProduceData.PartitionProduceData(index=0, records=builder.buffer())
    data = ProduceRequest.TopicProduceData(name=topic, partition_data=[partition])
    request = ProduceRequest(
        transactional_id=None, acks=-1, timeout_ms=10_000, topic_data=[data], min_version=3, max_version=9
    )
    admin = KafkaAdminClient(bootstrap_servers=bootstrap)
    try:
        admin.describe_topics([topic])
        manager = admin._manager
        leader = manager.cluster.leader_for_partition(TopicPartition(topic, 0))
        [[answer]] = [each.partition_responses for each in manager.run(manager.send, request, leader or 1).responses]
        if answer.error_code:
            raise for_code(answer.error_code)
    finally:
        admin.close()
