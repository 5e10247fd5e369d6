"""A load's summary as text, and its exit code.

What belongs here: words and rules of presentation. What does not: counting (``rmqkit.load``).
"""

from __future__ import annotations

from collections.abc import Sequence

from rmqkit.checks import Timeline, timeline_lines
from rmqkit.cli import EXIT_FAILED, EXIT_INCONCLUSIVE, EXIT_INTERRUPTED, EXIT_OK
from rmqkit.load.summary import Consumption, Percentiles, Production, Summary, Traffic

_MOST_REASONS = 10


def exit_code(summary: Summary, *, faulty: bool) -> int:
    """0: it ended as asked, and all went well. ``faulty``: the load was meant to see trouble.

    1: a send was not acknowledged (unless ``faulty``), nothing was at all, an acknowledged message did not come though
    the group had drained, or nothing was received. 3: the group did not drain. 130: stopped before the end asked for.
    """
    sent, came = summary.produced, summary.consumed
    if sent is not None:
        if not sent.traffic.acknowledged:
            return EXIT_FAILED
        if not faulty and sent.traffic.acknowledged < sent.traffic.sent:
            return EXIT_FAILED
    if came is not None:
        if not came.received:
            return EXIT_FAILED
        if sent is not None and not came.drained:
            return EXIT_INCONCLUSIVE
        if came.missing:
            return EXIT_FAILED
    asked_for = summary.options.get("duration_s") or summary.options.get("count")
    return EXIT_INTERRUPTED if summary.ended_by == "interrupt" and asked_for else EXIT_OK


def text(summary: Summary, found: Sequence[Timeline] = ()) -> list[str]:
    """One screen; ``found`` are the faults in their phases."""
    lines = [f"run {summary.run}, seed {summary.seed}, topic {summary.topic}: {summary.duration_s:.1f} s"]
    lines[0] += f", ended by {summary.ended_by}"
    if summary.produced is not None:
        lines += _production(summary.produced)
    if summary.consumed is not None:
        lines += _consumption(summary.consumed)
    return [*lines, *timeline_lines(found), *summary.notes]


def _production(sent: Production) -> list[str]:
    traffic = sent.traffic
    lines = [
        (
            f"sent {traffic.sent}: {traffic.acknowledged} acknowledged ({traffic.acked_per_s:.0f}/s), {traffic.refused}"
            f" refused, {traffic.unknown} unknown"
        ),
        f"latency  {_times(traffic.latency)}",
    ]
    if traffic.service != traffic.latency:
        lines.append(f"service  {_times(traffic.service)}")
    lines.append(f"client   {sent.cpu_us_per_message:.0f} µs of processor time a message")
    if sent.unsent:
        lines.append(f"{sent.unsent} messages were due and not sent: the senders could not keep up with the rate")
    if sent.backed_off_s:
        lines.append(f"flow control: {traffic.flow_control} sends, {sent.backed_off_s:.2f} s held back")
    lines += [f"  {error.count:8d}  {error.kind}: {error.reason}" for error in sent.errors[:_MOST_REASONS]]
    if len(sent.errors) > _MOST_REASONS:
        lines.append(f"  and {len(sent.errors) - _MOST_REASONS} more reasons")
    if len(sent.drivers) > 1 or traffic.acknowledged < traffic.sent:
        lines += [_outage(driver) for driver in sent.drivers]
    return lines


def _outage(driver: Traffic) -> str:
    return (
        f"{driver.driver}: nothing acknowledged for {driver.outage_s:.2f} s at most; {driver.acknowledged} of"
        f" {driver.sent} acknowledged, p99 {driver.latency.p99_ms:.1f} ms"
    )


def _consumption(came: Consumption) -> list[str]:
    lines = [f"received {came.received} ({came.received_per_s:.0f}/s) as {came.group}, {came.members} members"]
    if came.missing is not None:
        lines.append(
            f"of this run: {came.own} received, {came.again} again, {came.missing} acknowledged and not received"
        )
        if not came.drained:
            lines.append(f"not drained: {sum(came.lag.values())} behind in {sum(map(bool, came.lag.values()))} queues")
    return lines


def _times(of: Percentiles) -> str:
    return (
        f"p50 {of.p50_ms:.2f}  p90 {of.p90_ms:.2f}  p99 {of.p99_ms:.2f}  p99.9 {of.p999_ms:.2f}  max {of.max_ms:.2f} ms"
    )
