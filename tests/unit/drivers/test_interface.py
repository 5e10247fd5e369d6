"""Promises of the drivers' interface: names, capabilities, the id of a message, what a target must be."""

from __future__ import annotations

import importlib

import pytest

from rmqkit.drivers import BUILT_IN, DRIVERS, NATIVE, Received, Target, open_consumer, open_producer
from rmqkit.drivers.builtin import CONSUMER_CAPABILITIES, PRODUCER_CAPABILITIES, BuiltInConsumer
from rmqkit.drivers.interface import CAPABILITIES, KIT_ID, DriverProducer, message_id_of, require
from rmqkit.drivers.native import NativeConsumer
from rmqkit.drivers.registry import known_driver
from rmqkit.errors import UsageError

TARGET = Target(nameservers=("127.0.0.1:1",))


def test_the_kits_own_id_wins_over_the_clients() -> None:
    assert message_id_of({"UNIQ_KEY": "U", KIT_ID: "K"}) == "K"
    assert message_id_of({"UNIQ_KEY": "U"}) == "U"
    assert message_id_of({}) == ""


def test_a_received_message_shows_the_unique_key_that_it_carries() -> None:
    message = Received(topic="T", body=b"", message_id="K", properties={"UNIQ_KEY": "U"})
    assert message.unique_key == "U"
    assert Received(topic="T", body=b"", message_id="").unique_key == ""


@pytest.mark.parametrize("nameservers", ["127.0.0.1:9876", ()])
def test_a_target_names_its_nameservers_in_a_sequence(nameservers: object) -> None:
    with pytest.raises(UsageError, match="nameservers is"):
        Target(nameservers=nameservers)  # type: ignore[arg-type]


def test_an_unknown_driver_is_an_error_that_lists_the_known() -> None:
    assert [known_driver(name) for name in DRIVERS] == list(DRIVERS)
    for use in (lambda: open_producer("rust", TARGET), lambda: open_consumer("rust", TARGET, topic="T", group="g")):
        with pytest.raises(
            UsageError, match="there is no driver 'rust'\nWhat to do: use one of built-in, native, java"
        ):
            use()


def test_what_a_driver_cannot_do_is_said_with_what_it_can() -> None:
    require(frozenset({"oneway"}), "oneway", driver="x", what="a one-way send")
    with pytest.raises(UsageError, match="the x driver cannot do this: delay\nWhat to do: it can: oneway"):
        require(frozenset({"oneway"}), "delay", driver="x", what="delay")


def test_every_driver_names_only_known_capabilities() -> None:
    assert PRODUCER_CAPABILITIES | CONSUMER_CAPABILITIES | NativeConsumer.capabilities <= CAPABILITIES
    native = importlib.import_module("rmqkit.drivers.native")
    assert native._PRODUCER <= CAPABILITIES


def test_the_built_in_driver_has_the_interface() -> None:
    with open_producer(BUILT_IN, TARGET) as producer:
        assert isinstance(producer, DriverProducer)
        assert (producer.name, producer.client) == (BUILT_IN, "rmqkit")
    assert all(hasattr(BuiltInConsumer, name) for name in ("poll", "ack", "later", "close", "capabilities", "client"))


def test_the_registry_opens_the_native_driver_with_its_own_options() -> None:
    with pytest.raises(UsageError, match="not a group name"):
        open_producer(NATIVE, TARGET, group="no group", max_body_bytes=1 << 20)
