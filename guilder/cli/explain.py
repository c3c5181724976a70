"""`guilder explain`: why a payment cost what it cost."""

from pathlib import Path
from typing import Any
from uuid import UUID

import click
import msgspec

from guilder.chassis.events import SYSTEM
from guilder.cli.platform import Platform, data_option, json_option, show, with_platform
from guilder.contracts.context import Context
from guilder.contracts.declare import Nothing
from guilder.contracts.payments.provenance import Decision
from guilder.contracts.payments.v1 import PaymentId, Payments, UnknownPayment
from guilder.contracts.registry.v1 import Registry


@click.command("explain")
@click.argument("payment", type=click.UUID)
@click.option("--tenant", "slug", help="Slug of the tenant; left out: each is asked.")
@data_option
@json_option
def explain_command(payment: UUID, slug: str | None, data: Path, as_json: bool) -> None:
    """Derive the fee of a payment again: ask the edition that decided it the same question.

    Says who decided what on the payment, and whether the fee would be the same today.

    Example: guilder explain 0198c2f6-7a51-7000-8000-000000000000
    """

    async def work(platform: Platform) -> Any:
        client, request = platform.client(Payments), PaymentId(payment_id=payment)
        for ctx in await _tenants(platform, slug):
            try:
                said = await client.explanation(ctx, request)
                return said, (await client.decisions(ctx, request)).items
            except UnknownPayment:
                continue
        raise UnknownPayment(f"no tenant has a payment {payment}")

    said, decisions = with_platform(data, as_json, work)
    fee = "none" if said.fee is None else said.fee
    lines = [f"payment {said.payment}: {said.amount}, {said.state}, fee {fee}"]
    lines += said.sentences
    lines += [_line(each) for each in decisions]
    show({"explanation": said, "decisions": decisions}, as_json, "\n".join(lines))


async def _tenants(platform: Platform, slug: str | None) -> list[Context]:
    """The platform itself, in one tenant or in each."""
    if slug is not None:
        numbers = [(await platform.tenant(slug)).number]
    else:
        registry = platform.client(Registry)
        numbers = [t.number for t in (await registry.tenants(platform.ctx(), Nothing())).items]
    return [msgspec.structs.replace(platform.ctx(n), principal=SYSTEM) for n in numbers]


def _line(of: Decision) -> str:
    """One decision, for people."""
    at = "" if of.at is None else f"{of.at:%Y-%m-%d %H:%M:%S}  "
    took = "" if of.took_us is None else f", {of.took_us / 1000:.1f} ms"
    bound = "" if of.binding is None else f", binding {of.binding}, generation {of.generation}"
    instead = " (fallback)" * of.fallback
    return f"  {at}{of.step} {of.edition}.{of.version}{instead}: {of.answered}{bound}{took}"
