"""`guilder bench …`."""

import math
import signal
import sys
from typing import Any

import click

from guilder.bench import bindings, gateway, overload, payments
from guilder.cli.platform import json_option, show


class Number(click.FloatRange):
    """A number of a range; `nan`, which is in none and above and below nothing, is refused."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """The number, or what click says of one out of range."""
        number: float = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value} is not a number.", param, ctx)
        return number


rounds_option = click.option(
    "--rounds",
    default=3,
    show_default=True,
    type=click.IntRange(1, 100),
    help="Interleaved rounds; median counts.",
)
seconds_option = click.option(
    "--seconds",
    default=8.0,
    show_default=True,
    type=Number(1, 3600),
    help="Length of each part of a round.",
)


@click.group()
def bench() -> None:
    """Measure ratios against a yardstick of the same run, on a throw-away platform."""


@bench.command("payments")
@rounds_option
@seconds_option
@click.option(
    "--clients",
    default=64,
    show_default=True,
    type=click.IntRange(1, 1000),
    help="Connections that pay at once.",
)
@click.option(
    "--hot-share",
    default=0.0,
    show_default=True,
    type=Number(0, 1),
    help="Share debited from one account.",
)
@json_option
def payments_command(
    rounds: int, seconds: float, clients: int, hot_share: float, as_json: bool
) -> None:
    """Complete payments over HTTP beside pgbench TPC-B.

    Example: guilder bench payments --json
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the throw-away platform goes too
    plan = payments.Plan(rounds=rounds, seconds=seconds, clients=clients, hot_share=hot_share)
    result = payments.run(plan, lambda text: click.echo(text, err=True))
    lines = [
        f"round {n}: TPC-B {each.tpcb:,.0f}/s, payments {each.payments:,.0f}/s, "
        f"p50 {each.p50_ms} ms, p99 {each.p99_ms} ms, booked {each.booked:,}, "
        f"refused {each.refused:,}, replayed {each.replayed:,}, failed {each.failed}"
        for n, each in enumerate(result.rounds, 1)
    ]
    lines.append(f"ratio {result.ratio} (median payments / median TPC-B)")
    show(result, as_json, "\n".join(lines))


@bench.command("gateway")
@rounds_option
@seconds_option
@click.option(
    "--clients",
    default=32,
    show_default=True,
    type=click.IntRange(1, 1000),
    help="Connections that ask at once.",
)
@json_option
def gateway_command(rounds: int, seconds: float, clients: int, as_json: bool) -> None:
    """What the gateway adds to a question, beside the same question at the service's own door.

    Example: guilder bench gateway --json
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the throw-away platform goes too
    plan = gateway.Plan(rounds=rounds, seconds=seconds, clients=clients)
    result = gateway.run(plan, lambda text: click.echo(text, err=True))
    failed = sum(each.bare.failed + each.gateway.failed for each in result.rounds)
    text = (
        f"the gateway adds {result.added_p50_ms:.2f} ms ({result.latency_ratio:.2f} times a bare"
        f" service); {result.gateway_rps:,.0f} requests a second beside {result.bare_rps:,.0f}"
        f" ({result.rps_ratio:.2f}); failed {failed}"
    )
    show(result, as_json, text)


@bench.command("overload")
@rounds_option
@seconds_option
@click.option(
    "--times",
    default=5.0,
    show_default=True,
    type=Number(1, 50),
    help="Load that is offered, in peaks.",
)
@json_option
def overload_command(rounds: int, seconds: float, times: float, as_json: bool) -> None:
    """Payments at five times the capacity, and beside a bank at 20 times its limit.

    Example: guilder bench overload --json
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the throw-away platforms go too
    plan = overload.Plan(rounds=rounds, seconds=seconds, times=times)
    result = overload.run(plan, lambda text: click.echo(text, err=True))
    statuses = ", ".join(f"{count:,} × {what}" for what, count in sorted(result.refused.items()))
    text = (
        f"goodput {result.goodput_ratio:.2f} of the peak at {times:g} times its load, "
        f"accepted p99 {result.accepted_p99_ms:.0f} ms, {result.refused_share:.0%} refused\n"
        f"refused: {statuses}; {result.without_retry_after} without Retry-After\n"
        f"a bank at a modest rate meanwhile: {result.quiet_refused_share:.1%} refused\n"
        f"beside a bank at 20 times its limit: p99 {result.neighbour_p99_ratio:.2f} times "
        f"what it is alone ({result.neighbour_p99_ratio_pooled:.2f} over all rounds together)"
    )
    show(result, as_json, text)


@bench.command("bindings")
@rounds_option
@click.option(
    "--repeats",
    default=20,
    show_default=True,
    type=click.IntRange(1, 10_000),
    help="Repetitions of the look-ups; the best counts.",
)
@json_option
def bindings_command(rounds: int, repeats: int, as_json: bool) -> None:
    """Who is bound to what, looked up and taken in, by 10 to 10,000 tenants with 12 contracts each.

    Example: guilder bench bindings --json
    """
    plan = bindings.Plan(rounds=rounds, repeats=repeats)
    result = bindings.run(plan, lambda text: click.echo(text, err=True))
    lines = [
        f"{size.tenants:>6,} tenants: look-up {size.lookup_us:.2f} µs"
        f" ({size.lookup_ratio:.2f} × the smallest; {size.any_us:.2f} µs of any),"
        f" whole directory {size.whole_ms:,.0f} ms ({size.directory_mib:,.1f} MiB),"
        f" a change {size.change_ms:.2f} ms,"
        f" memory {size.mib:,.1f} MiB"
        for size in result.sizes
    ]
    show(result, as_json, "\n".join(lines))
