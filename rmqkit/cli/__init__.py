"""The command line: one module per command. ``main`` turns errors into one screen of help and an exit code."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from rmqkit.errors import ClusterError, FaultError, MachineError, RmqkitError, StoppedError, UsageError
from rmqkit.errors import WaitTimeoutError as _WaitTimeout

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INCONCLUSIVE = 3
EXIT_MACHINE = 4
EXIT_CLUSTER = 5
EXIT_INTERRUPTED = 130

EXIT_CODES = """Exit codes: 0 done, healthy or PASSED; 1 unhealthy or FAILED; 2 wrong use; 3 INCONCLUSIVE;
4 the machine lacks something (engine, Compose, image, port) or a build failed;
5 the cluster is at fault (not ready, a broker ended, no leader); 130 interrupted."""


def exit_code(error: RmqkitError) -> int:
    """The exit code for an error, by who is at fault."""
    if isinstance(error, UsageError):
        return EXIT_USAGE
    if isinstance(error, MachineError):
        return EXIT_MACHINE
    if isinstance(error, StoppedError):
        return EXIT_INTERRUPTED
    if isinstance(error, (ClusterError, FaultError, _WaitTimeout)):
        return EXIT_CLUSTER
    return EXIT_CLUSTER


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code. Never shows a traceback for a user's mistake."""
    try:
        from rmqkit.cli.app import run  # noqa: PLC0415 - takes a moment, in which Ctrl-C must not end in a traceback

        return run(list(sys.argv[1:] if argv is None else argv))
    except KeyboardInterrupt:
        print("rmqkit: interrupted; what this command had started was taken down", file=sys.stderr)  # noqa: T201
        return EXIT_INTERRUPTED
    except RmqkitError as error:
        print("\n".join([f"rmqkit: {error}", *getattr(error, "__notes__", ())]), file=sys.stderr)  # noqa: T201
        return exit_code(error)
