"""The sizing helper's arithmetic, step by step and against what a real store was seen to take."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rmqkit.errors import UsageError
from rmqkit.topology.sizing import DISK_SHARE, FIXED_STORE_BYTES, Load, size, stored_bytes


def load(**changes: float) -> Load:
    fields: dict[str, float] = {"tps": 1000, "message_bytes": 1000, "retention_hours": 72, **changes}
    return Load(**fields)  # type: ignore[arg-type]


def test_a_worked_example() -> None:
    made = size(load(topic_bytes=11, properties_bytes=50, group_tps=400))
    assert made.stored_bytes == 48 + 91 + 1000 + 11 + 50
    assert made.replica_bytes_per_message == 1200 + 32 + 20 + 20
    assert (made.groups, made.brokers, made.hosts, made.nameservers) == (3, 9, 9, 3)
    kept = 1000 / 3 * (72 + 25) * 3600 * 1272
    assert made.disk_per_broker == pytest.approx((kept + FIXED_STORE_BYTES) / DISK_SHARE, rel=1e-9)
    assert made.leader_in == pytest.approx(1000 / 3 * 1200)
    assert made.leader_out == pytest.approx(3 * made.leader_in)  # two followers, one consumer group


def test_several_brokers_on_a_host_share_hosts_but_never_fewer_than_replicas() -> None:
    assert size(load(tps=100, brokers_per_host=5)).hosts == 3
    made = size(load(tps=8000, group_tps=1000, brokers_per_host=4))
    assert (made.brokers, made.hosts) == (24, 6)
    assert made.disk_per_host == 4 * made.disk_per_broker
    assert made.host_out == 4 * made.leader_out


@given(tps=st.floats(1, 1e6), size_bytes=st.integers(1, 100_000), hours=st.floats(1, 1000))
def test_more_load_never_takes_less(tps: float, size_bytes: int, hours: float) -> None:
    base = size(Load(tps=tps, message_bytes=size_bytes, retention_hours=hours))
    for more in (
        Load(tps=2 * tps, message_bytes=size_bytes, retention_hours=hours),
        Load(tps=tps, message_bytes=2 * size_bytes, retention_hours=hours),
        Load(tps=tps, message_bytes=size_bytes, retention_hours=2 * hours),
    ):
        bigger = size(more)
        assert bigger.groups * bigger.disk_per_broker >= base.groups * base.disk_per_broker
        assert bigger.hosts >= base.hosts


def test_the_working_has_the_numbers_of_the_answer() -> None:
    made = size(load(tps=20_000))
    text = "\n".join(made.lines)
    assert f"= {made.stored_bytes} B" in text
    assert f"= {made.groups}\n" in text
    assert f"= {made.disk_per_broker / 2**30:.1f} GiB" in text


@pytest.mark.parametrize(
    "changes", [{"tps": 0}, {"tps": -1}, {"message_bytes": 5 * 2**20}, {"replicas": 0}, {"average": 2}]
)
def test_what_cannot_be_is_refused_with_the_options_name(changes: dict[str, float]) -> None:
    with pytest.raises(UsageError, match="--" + next(iter(changes)).replace("_", "-")):
        load(**changes)


def test_one_message_in_the_log() -> None:
    assert stored_bytes(load(message_bytes=1, topic_bytes=1, properties_bytes=0)) == 141
