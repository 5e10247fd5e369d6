"""Which driver: the names that users give, and the classes behind each. A client is imported when it is asked for."""

from __future__ import annotations

import importlib
from typing import Any

from rmqkit.drivers.interface import BUILT_IN, DRIVERS, JAVA, NATIVE, DriverConsumer, DriverProducer, Target
from rmqkit.errors import UsageError

# Names, not imports: a suite that uses the built-in client must not pay for, or need, the others.
_CLASSES = {
    BUILT_IN: ("rmqkit.drivers.builtin", "BuiltInProducer", "BuiltInConsumer"),
    NATIVE: ("rmqkit.drivers.native", "NativeProducer", "NativeConsumer"),
    JAVA: ("rmqkit.drivers.java", "JavaProducer", "JavaConsumer"),
}


def open_producer(driver: str, target: Target, *, group: str = "rmqkit_producer", **options: Any) -> DriverProducer:
    """A producer of that driver, ready for use; ``options`` are the driver's own.

    Raises UsageError for an unknown name, DriverMissingError where its client is not on this machine.
    """
    producer: DriverProducer = _class(driver, 1)(target, group=group, **options)
    return producer


def open_consumer(
    driver: str, target: Target, *, topic: str, group: str, expression: str = "*", **options: Any
) -> DriverConsumer:
    """A consumer of that driver, subscribed; ``options`` are the driver's own. Raises as :func:`open_producer`."""
    consumer: DriverConsumer = _class(driver, 2)(target, topic=topic, group=group, expression=expression, **options)
    return consumer


def known_driver(name: str) -> str:
    """``name``, if it is a driver's. Raises UsageError that lists them."""
    if name not in _CLASSES:
        raise UsageError(f"there is no driver {name!r}", hint=f"use one of {', '.join(DRIVERS)}")
    return name


def _class(driver: str, which: int) -> Any:
    names = _CLASSES[known_driver(driver)]
    return getattr(importlib.import_module(names[0]), names[which])
