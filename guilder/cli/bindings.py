"""`guilder binding …`: which release or edition serves a contract for which tenant."""

import asyncio
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import click

from guilder.cli.platform import Platform, data_option, fail, json_option, show, with_platform
from guilder.cli.proposals import as_option, ask, call, next_step, read
from guilder.cli.tables import table
from guilder.contracts.access.v1 import Access, Proposal, ProposalId, Verdict
from guilder.contracts.catalogue import all_contracts
from guilder.contracts.edition import sees_personal
from guilder.contracts.errors import CATALOGUE, Internal
from guilder.contracts.registry.reports import BindingReport
from guilder.contracts.registry.v1 import (
    Bind,
    BindingId,
    BindingQuery,
    BindingRecord,
    Registry,
    RolledBack,
    Shadow,
)

TAKES_EFFECT_S = 15.0
"""How long `approve` waits for what was approved to take effect."""

binding_argument = click.argument("binding_id", metavar="BINDING", type=click.UUID)


@click.group()
def binding() -> None:
    """Bind tenants to releases and editions, see how they do, and go back."""


class Release(click.ParamType[tuple[str, ...]]):
    """`pricing=B.1.0.0`."""

    name = "CONTRACT=EDITION.VERSION"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """Contract, edition and version."""
        found = re.fullmatch(r"([a-z-]+)=([A-Z])\.([0-9.]+)", str(value), re.ASCII)
        if found is None:
            self.fail(f"{value!r} is not of the form pricing=B.1.0.0", param, ctx)
        return found.groups()


class At(click.ParamType[str]):
    """A moment with its zone."""

    name = "TIME"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """An ISO 8601 time, as the API takes it."""
        try:
            found = datetime.fromisoformat(str(value))
        except ValueError:
            found = None
        if found is None or found.tzinfo is None:
            self.fail(f"{value!r} is no time with a zone, such as 2026-12-01T02:00Z", param, ctx)
        return found.isoformat()


@binding.command("propose")
@click.argument("tenant")
@click.argument("what", metavar="CONTRACT=EDITION.VERSION", type=Release())
@click.option("--url", required=True, help="Where it answers: https://…, or unix:/… of a release.")
@click.option(
    "--mode",
    type=click.Choice(["live", "canary", "shadow"]),
    default="live",
    show_default=True,
    help="Serve everybody, serve a share of the principals, or only be compared.",
)
@click.option("--share", type=click.IntRange(1, 99), help="Percent of principals (canary).")
@click.option("--from", "begins", type=At(), help="When it begins; left out: at once.")
@click.option(
    "--on-failure",
    type=click.Choice(["closed", "fallback"]),
    default="closed",
    show_default=True,
    help="Where it does not answer: refuse, or let stock answer (decisions).",
)
@as_option
@data_option
@json_option
def propose_command(
    tenant: str,
    what: tuple[str, str, str],
    url: str,
    mode: str,
    share: int | None,
    begins: str | None,
    on_failure: str,
    login: str | None,
    data: Path,
    as_json: bool,
) -> None:
    """Propose that a release or an edition serves a tenant; another operator approves.

    Editions B to Z need a fresh attestation: `guilder conform CONTRACT --url URL`. A shadow of
    one that sees no personal data begins at once, without approval.

    Example: guilder binding propose company-x pricing=B.1.0.0 --url https://fees.company-x.example
    """
    contract, edition, version = what
    fields: dict[str, Any] = {
        "tenant": tenant,
        "contract": contract,
        "edition": edition,
        "version": version,
        "address": url,
    }
    known = all_contracts().get(contract)
    tested = edition != "A" and known and not sees_personal(known)
    plain_shadow = mode == "shadow" and begins is None and tested
    if plain_shadow and on_failure == "closed" and share is None:
        request, operation = read(fields, Shadow, as_json), Registry.operations()["shadow"]
        made = call(data, as_json, login, operation, request)
        show(made, as_json, f"{sentence(made)}\n  guilder binding report {made.id}")
        return
    fields |= {"mode": mode, "share": share, "begins": begins, "on_failure": on_failure}
    request, operation = read(fields, Bind, as_json), Registry.operations()["bind"]
    proposed = call(data, as_json, login, operation, request)
    show(proposed, as_json, next_step(proposed, "binding"))


@binding.command("approve")
@click.argument("proposal_id", metavar="PROPOSAL", type=click.UUID)
@as_option
@data_option
@json_option
def approve_command(proposal_id: UUID, login: str | None, data: Path, as_json: bool) -> None:
    """Approve a binding that another operator proposed, and see it take effect.

    Example: guilder binding approve 0198c2f6-7a51-7000-8000-000000000000 --as olga
    """

    async def work(platform: Platform) -> Any:
        await ask(platform, login, Access.operations()["approve"], Verdict(proposal_id=proposal_id))
        ended = await _ended(platform, login, proposal_id)
        if ended.state != "executed":
            return ended, None
        return ended, await _record(platform, login, UUID(ended.resource))

    ended, made = with_platform(data, as_json, work)
    if ended.problem is not None:
        problem = CATALOGUE.get(ended.problem, Internal)
        fail(problem("it was approved, and then could not take effect"), as_json)
    text = f"{ended.operation} is approved and takes effect soon"
    show(made or ended, as_json, _in_force(made) if made else text)


async def _ended(platform: Platform, login: str | None, proposal_id: UUID) -> Proposal:
    """The proposal when what was approved has been done, or as it is after a while."""
    operation, query = Access.operations()["proposal"], ProposalId(proposal_id=proposal_id)
    until = asyncio.get_running_loop().time() + TAKES_EFFECT_S
    while True:
        found: Proposal = await ask(platform, login, operation, query)
        if found.state != "approved" or asyncio.get_running_loop().time() > until:
            return found
        await asyncio.sleep(0.1)


async def _record(platform: Platform, login: str | None, binding_id: UUID) -> BindingRecord:
    operation = Registry.operations()["report"]
    report: BindingReport = await ask(platform, login, operation, BindingId(binding_id=binding_id))
    return report.binding


@binding.command("list")
@click.option("--tenant", help="Slug of the tenant; left out: all.")
@click.option("--contract", help="Name of the contract; left out: all.")
@click.option("--history", is_flag=True, help="Those that have ended too.")
@click.option("--after", type=int, help="Go on behind this generation.")
@as_option
@data_option
@json_option
def list_command(
    tenant: str | None,
    contract: str | None,
    history: bool,
    after: int | None,
    login: str | None,
    data: Path,
    as_json: bool,
) -> None:
    """List the bindings in force and planned, newest first; everybody else is served by stock.

    Example: guilder binding list --tenant nordbank --history
    """
    fields = {"tenant": tenant, "contract": contract, "in_force": not history, "after": after}
    request = read(fields, BindingQuery, as_json)
    operation = Registry.operations()["binding_history"]
    found = call(data, as_json, login, operation, request)
    heads = ["BINDING", "TENANT", "SERVED BY", "MODE", "FROM", "UNTIL", "URL"]
    text = table(heads, [_line(record) for record in found.items])
    text += f"\nmore: --after {found.next}" if found.next else ""
    show(found, as_json, text if found.items else "everybody is served by stock")


@binding.command("report")
@binding_argument
@as_option
@data_option
@json_option
def report_command(binding_id: UUID, login: str | None, data: Path, as_json: bool) -> None:
    """Show what every process saw of a binding, and what to do about it.

    Example: guilder binding report 0198c2f6-7a51-7000-8000-000000000000
    """
    operation, request = Registry.operations()["report"], BindingId(binding_id=binding_id)
    found = call(data, as_json, login, operation, request)
    show(found, as_json, _report(found))


@binding.command("rollback")
@binding_argument
@as_option
@data_option
@json_option
def rollback_command(binding_id: UUID, login: str | None, data: Path, as_json: bool) -> None:
    """End a binding at once and put back what it replaced; one operator is enough.

    Example: guilder binding rollback 0198c2f6-7a51-7000-8000-000000000000
    """
    operation, request = Registry.operations()["rollback"], BindingId(binding_id=binding_id)
    done = call(data, as_json, login, operation, request)
    show(done, as_json, _rolled_back(done))


@binding.command("end")
@binding_argument
@as_option
@data_option
@json_option
def end_command(binding_id: UUID, login: str | None, data: Path, as_json: bool) -> None:
    """Go back to stock at once; one operator is enough. `guilder binding list` shows the ids.

    Example: guilder binding end 0198c2f6-7a51-7000-8000-000000000000
    """
    operation, request = Registry.operations()["end_binding"], BindingId(binding_id=binding_id)
    ended = call(data, as_json, login, operation, request)
    show(ended, as_json, sentence(ended))


def sentence(record: BindingRecord) -> str:
    """Which part a binding plays, from when or since when, or until when it did."""
    release = f"{record.contract} {record.edition}.{record.version}"
    over = record.ended_reason == "withdrawn" or (
        record.ended_at is not None and record.ended_at <= datetime.now(UTC)
    )
    serves, compared = ("served", "was") if over else ("serves", "is")
    part = {
        "live": f"{release} {serves} {record.tenant}",
        "canary": f"{release} {serves} {record.share} % of the principals of {record.tenant}",
        "shadow": f"{release} {compared} compared with who serves {record.tenant}",
    }[record.mode]
    if record.ended_reason == "withdrawn":
        return f"{part} never: taken back on {_time(record.ended_at)}"
    if record.ended_at is not None:
        return f"{part} until {_time(record.ended_at)} ({record.ended_reason or 'ended'})"
    since = "since" if record.bound_at <= datetime.now(UTC) else "from"
    return f"{part} {since} {_time(record.bound_at)}, generation {record.generation}"


def _in_force(made: BindingRecord) -> str:
    """What was bound, how to see how it does, and the way back."""
    steps = f"  guilder binding report {made.id}\n  guilder binding rollback {made.id}"
    return f"{sentence(made)}\n{steps}"


def _line(record: BindingRecord) -> list[str]:
    release = f"{record.contract} {record.edition}.{record.version}"
    mode = f"canary {record.share} %" if record.mode == "canary" else record.mode
    until = f"{_time(record.ended_at)} {record.ended_reason or ''}" if record.ended_at else "-"
    return [
        str(record.id),
        record.tenant,
        release,
        mode,
        _time(record.bound_at),
        until.strip(),
        record.address,
    ]


def _report(found: BindingReport) -> str:
    lines = [
        sentence(found.binding),
        f"since {_time(found.since)}: {found.calls} calls, {sum(found.failures.values())} failed,"
        f" {found.fallbacks} answered by stock instead",
    ]
    if found.calls:
        lines.append(f"answers took {found.mean_ms} ms on average, {found.slowest_ms} ms at most")
    lines += [f"  {count} {kind}" for kind, count in sorted(found.failures.items())]
    if found.compared or found.dropped:
        differing = found.compared - found.equal
        lines.append(
            f"compared {found.compared}: {found.equal} equal, {differing} differ;"
            f" {found.dropped} were not compared"
        )
    for field in found.differences:
        total = f", {field.total} {field.currency} in all" if field.total is not None else ""
        lines.append(f"  {field.field}: {field.count} times{total}")
        for example in field.examples:
            how = (
                f"{example.delta} {field.currency}"
                if example.delta is not None
                else f"{example.serving!r} became {example.other!r}"
            )
            lines.append(f"    {example.count} × {how}")
    if found.omitted:
        lines.append(f"  {found.omitted} more, not told apart")
    return "\n".join([*lines, found.advice])


def _rolled_back(done: RolledBack) -> str:
    lines = [sentence(done.ended)]
    if done.withdrawn is not None:
        lines.append(f"{done.withdrawn}, which was to follow, was taken back")
    if done.restored is not None:
        lines.append(sentence(done.restored))
    elif done.ended.mode == "live" and done.ended.ended_reason == "rolled-back":
        lines.append(f"stock {done.ended.contract} serves {done.ended.tenant} again")
    return "\n".join(lines)


def _time(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S}" if at else "-"
