"""`guilder tenant …` and `guilder token`."""

from pathlib import Path
from typing import Any

import click

from guilder.cli.bindings import sentence
from guilder.cli.platform import Platform, data_option, json_option, show, with_platform
from guilder.cli.proposals import read
from guilder.cli.tables import table
from guilder.contracts.access.v1 import Access, GrantRole
from guilder.contracts.declare import Nothing
from guilder.contracts.identity.v1 import CreatePerson, Identity, Mint
from guilder.contracts.registry.reports import ServedBy, ServiceMap
from guilder.contracts.registry.v1 import CreateTenant, Registry, Tenant, WhichTenant


@click.group()
def tenant() -> None:
    """Create, list and show tenants."""


async def create(platform: Platform, request: CreateTenant, managers: tuple[str, ...]) -> Tenant:
    """Create a tenant with its first managers; repeating it changes nothing."""
    registry, identity = platform.client(Registry), platform.client(Identity)
    access = platform.client(Access)
    key = f"tenant:{request.slug}"
    made = await registry.create_tenant(platform.ctx(key=key), request)
    for login in managers:
        step = f"{key}:{login}"
        person = await identity.create_person(
            platform.ctx(made.number, step), CreatePerson(login=login)
        )
        await access.assign(
            platform.ctx(made.number, f"{step}:manager"),
            GrantRole(subject=person.id, role="manager"),
        )
    return made


@tenant.command("create")
@click.argument("slug")
@click.option("--name", required=True, help="Name of the bank or fintech.")
@click.option("--country", required=True, help="ISO 3166-1 alpha-2, such as DE.")
@click.option("--bank-code", required=True, help="Its own bank code in IBANs; no real bank's.")
@click.option("--bic", required=True, help="8 or 11 characters.")
@click.option("--currency", required=True, help="ISO 4217, such as EUR.")
@click.option("--zone", required=True, help="IANA time zone, such as Europe/Berlin.")
@click.option("--holiday-calendar", required=True, help="Country, or country-subdivision: DE-BE.")
@click.option("--manager", "managers", multiple=True, help="Login of a first manager; repeatable.")
@data_option
@json_option
def create_command(
    slug: str, managers: tuple[str, ...], data: Path, as_json: bool, **fields: Any
) -> None:
    """Create a tenant and its first managers (two, so that four eyes are possible).

    Example: guilder tenant create fjordbank --name Fjordbank --country DE --bank-code 99990042
    --bic FJORDEFF --currency EUR --zone Europe/Berlin --holiday-calendar DE
    --manager ida --manager jon
    """
    request = read({"slug": slug, **fields}, CreateTenant, as_json)
    made = with_platform(data, as_json, lambda p: create(p, request, managers))
    show(made, as_json, f"tenant {made.slug} has number {made.number}")


@tenant.command("list")
@data_option
@json_option
def list_command(data: Path, as_json: bool) -> None:
    """List the tenants.

    Example: guilder tenant list
    """

    async def work(platform: Platform) -> Any:
        return await platform.client(Registry).tenants(platform.ctx(), Nothing())

    found = with_platform(data, as_json, work)
    lines = [
        f"{t.number:>4}  {t.slug:<20} {t.currency}  {t.zone:<20} {t.name}" for t in found.items
    ]
    show(found.items, as_json, "\n".join(lines) or "no tenants yet: guilder tenant create --help")


@tenant.command("show")
@click.argument("slug")
@data_option
@json_option
def show_command(slug: str, data: Path, as_json: bool) -> None:
    """Show all that serves a tenant: versions, bindings, how they do, what is planned.

    Example: guilder tenant show nordbank
    """

    async def work(platform: Platform) -> Any:
        found = await platform.tenant(slug)
        registry = platform.client(Registry)
        return found, await registry.service_map(platform.ctx(), WhichTenant(slug=slug))

    found, served = with_platform(data, as_json, work)
    text = "\n".join([*_particulars(found), *_served(served)])
    show({"tenant": found, "service_map": served}, as_json, text)


def _particulars(found: Tenant) -> list[str]:
    return [
        f"{found.slug} (number {found.number}): {found.name}, {found.state}",
        f"bank code {found.bank_code}, BIC {found.bic}, {found.currency}, {found.zone}",
    ]


def _beside(service: ServedBy) -> str:
    canary, shadow = service.canary, service.shadow
    tried = [f"canary {canary.edition}.{canary.version} {canary.share} %"] if canary else []
    tried += [f"shadow {shadow.edition}.{shadow.version}"] if shadow else []
    tried += [f"planned {p.edition}.{p.version}" for p in service.planned]
    return ", ".join(tried)


def _served(served: ServiceMap) -> list[str]:
    """The table, and below it what is not as everywhere else."""
    rows = [
        [s.contract, f"{s.edition}.{s.version}", f"A.{s.stock}" if s.live else "", _beside(s)]
        for s in served.services
    ]
    lines = [table(["SERVICE", "SERVED BY", "INSTEAD OF", "BESIDE IT"], rows)]
    for service in served.services:
        health = {line.binding: line for line in service.health}
        now = [b for b in (service.live, service.canary, service.shadow) if b is not None]
        for bound in [*now, *service.planned]:
            lines.append(f"{sentence(bound)}: {bound.address}, binding {bound.id}")
            if (seen := health.get(bound.id)) is not None:
                lines.append(
                    f"  last {seen.minutes} min: {seen.calls} calls, {seen.failures} failed,"
                    f" {seen.mean_ms} ms on average, {seen.slowest_ms} ms at most"
                )
    if not any(service.differs for service in served.services):
        lines.append("everything is stock")
    for window in served.windows:
        until = f"{window.begins_at:%Y-%m-%d %H:%M} to {window.ends_at:%H:%M} UTC"
        lines.append(f"maintenance of {window.service or 'everything'}, {until}: {window.title}")
    if served.read_only is not None:
        lines.append(f"read-only since {served.read_only:%Y-%m-%d %H:%M} UTC")
    return lines


@click.command()
@click.option("--tenant", "slug", required=True, help="Slug of the tenant.")
@click.option("--user", required=True, help="Login of the person.")
@data_option
@json_option
def token(slug: str, user: str, data: Path, as_json: bool) -> None:
    """Mint a token for a person, until people can sign in themselves.

    Example: TOKEN=$(guilder token --tenant nordbank --user mia)
    """

    async def work(platform: Platform) -> Any:
        request = Mint(tenant=slug, login=user)
        return await platform.client(Identity).mint(platform.ctx(), request)

    minted = with_platform(data, as_json, work)
    show(minted, as_json, minted.access_token)
