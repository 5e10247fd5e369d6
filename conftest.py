"""The kit's own tests: the plugin comes by its entry point; ``long`` tests run only when asked for."""

from __future__ import annotations

import signal

import pytest

pytest_plugins = ["pytester"]


def pytest_configure() -> None:
    """Take Ctrl-C also where the tests are a shell's background job: SIGINT is ignored in those, Python then has no
    KeyboardInterrupt, and what is tested of an interruption would hang or pass it by.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--all", action="store_true", help="run the long tests too")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the long tests out, visibly deselected rather than skipped, unless ``--all`` asks for them."""
    if config.getoption("--all"):
        return
    long = [item for item in items if item.get_closest_marker("long")]
    if long:
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item not in set(long)]
