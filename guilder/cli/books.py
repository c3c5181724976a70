"""`guilder import`, `guilder verify` and `guilder export`."""

import contextlib
import json
import sys
from datetime import UTC, datetime
from pathlib import Path

import click

from guilder.books.export import Exported, export
from guilder.books.report import Report as Verified
from guilder.books.verify import verify
from guilder.chassis.contract import plain
from guilder.cli.platform import Platform, data_option, fail, json_option, show, with_platform
from guilder.contracts.errors import InvalidRequest
from guilder.importing.mapping import MappingError, load_mapping
from guilder.importing.plan import Plan, build_plan
from guilder.importing.rows import SourceError
from guilder.importing.run import Report, run_import
from guilder.importing.source import read_source


class Bar:
    """Progress on standard error: a line that is rewritten, or plain lines without a terminal."""

    def __init__(self) -> None:
        """Nothing is shown yet."""
        self._last = ("", -1)

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Show how far a stage is, in steps of a tenth where there is no terminal."""
        if sys.stderr.isatty():
            end = "\n" if done == total else ""
            click.echo(f"\r{stage:<16} {done:>7,} of {total:,}{end}", err=True, nl=False)
            return
        tenth = done * 10 // total if total else 10
        if (stage, tenth) != self._last:
            self._last = (stage, tenth)
            click.echo(f"{stage:<16} {done:>7,} of {total:,}", err=True)


@click.command("import")
@click.option("--tenant", "slug", required=True, help="Slug of the tenant that takes them over.")
@click.option(
    "--mapping",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="TOML file that says which columns mean what.",
)
@click.argument("source", type=click.Path(exists=True, file_okay=False, path_type=Path))
@data_option
@json_option
def import_command(slug: str, mapping: Path, source: Path, data: Path, as_json: bool) -> None:
    """Bring another system's records in and reconcile them with its printed balances.

    It may be interrupted and repeated; nothing is doubled. Status 1 when a row does not show the
    balance that was printed.

    Example: guilder import --tenant nordbank --mapping mappings/berka.toml berka/
    """
    plan = _plan(mapping, source, as_json)

    async def work(platform: Platform) -> Report:
        tenant = await platform.tenant(slug)
        return await run_import(platform, tenant.number, plan, Bar())

    report = with_platform(data, as_json, work)
    click.echo(json.dumps(plain(report)) if as_json else _told(report))
    sys.exit(1 if report.differs else 0)


def _plan(mapping: Path, source: Path, as_json: bool) -> Plan:
    try:
        loaded = load_mapping(mapping)
        return build_plan(loaded, read_source(loaded, source))
    except MappingError as error:
        fail(InvalidRequest(str(error)), as_json)
    except SourceError as error:
        fail(InvalidRequest(str(error)), as_json)
    raise AssertionError("unreachable")


def _told(report: Report) -> str:
    lines = [
        f"{report.parties:,} parties, {report.accounts:,} accounts, {report.holders:,} holders, "
        f"{report.standing_orders:,} standing orders, {report.transfers:,} transfers",
        f"{report.reconciled:,} of {report.rows:,} rows reconcile with the printed balance, "
        f"{report.exact:,} exactly, {report.rounded:,} after rounding "
        f"({report.rounding_total} {report.currency} in all)",
        f"{len(report.breaks)} breaks, re-anchored through suspense "
        f"({report.suspense_total} {report.currency})",
    ]
    lines += [
        f"  break: account {b.account}, row {b.row}, {b.date}: "
        f"expected {b.expected}, printed {b.printed}"
        for b in report.breaks
    ]
    lines += [
        f"  OUR BOOKS DIFFER: account {d.account}, row {d.row}, {d.date}" for d in report.differs
    ]
    return "\n".join(lines)


@click.command("verify")
@data_option
@json_option
def verify_command(data: Path, as_json: bool) -> None:
    """Check every service's books and hold them against each other.

    Status 1 on any finding.

    Example: guilder verify --json
    """

    async def work(platform: Platform) -> Verified:
        return await verify(platform.client, datetime.now(UTC))

    report = with_platform(data, as_json, work)
    show(report, as_json, report.human())
    sys.exit(0 if report.ok else 1)


@click.command("export")
@click.option("--tenant", "slug", required=True, help="Slug of the tenant.")
@click.option(
    "--format",
    "program",
    required=True,
    type=click.Choice(["hledger", "beancount"]),
    help="The program that shall read it.",
)
@click.option(
    "--output",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="File to write; standard output if absent.",
)
@data_option
@json_option
def export_command(slug: str, program: str, output: Path | None, data: Path, as_json: bool) -> None:
    """Write a tenant's books as plain text that hledger or beancount recompute.

    With --json a line with the counts follows on standard error.

    Example: guilder export --tenant nordbank --format hledger --output books.journal
    """
    with contextlib.ExitStack() as stack:
        target = stack.enter_context(output.open("w", encoding="utf-8")) if output else sys.stdout

        async def work(platform: Platform) -> Exported:
            tenant = await platform.tenant(slug)
            return await export(
                platform.client, tenant.number, program, lambda line: print(line, file=target)
            )

        done = with_platform(data, as_json, work)
    if as_json:
        click.echo(json.dumps(plain(done)), err=True)
    elif output:
        click.echo(f"{done.transfers:,} transfers on {done.accounts:,} accounts in {output}")
