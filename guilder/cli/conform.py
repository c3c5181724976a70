"""`guilder conform`: have an edition tested by the platform, or try its suite on this machine."""

import asyncio
import json
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any, Final

import click

from guilder.chassis.contract import convert
from guilder.cli.platform import Platform, data_option, json_option, show, with_platform
from guilder.cli.proposals import as_option, ask, read
from guilder.contracts.errors import DeadlineExceeded, Unavailable
from guilder.contracts.registry.attestations import (
    Check,
    Conform,
    ConformanceRun,
    RunId,
)
from guilder.contracts.registry.v1 import Registry

RUNNER: Final = (sys.executable, "-m", "guilder.conformance")
POLL_S: Final = 0.5
PATIENCE_S: Final = 60.0
"""How long the platform may be gone while a run goes on, before one stops looking."""

EXIT: Final = {"passed": 0, "failed": 1, "broken": 2}
WIDTH: Final = 86
EVERYWHERE: Final = "0.0.0.0/0, ::/0"
"""On one's own machine one may test what one can reach."""


@click.command("conform")
@click.argument("contract")
@click.option("--url", required=True, help="Base URL of the edition.")
@click.option("--edition", help="What it has to say that it is: B, or B.1.0.0.")
@click.option("--here", is_flag=True, help="On this machine, without a platform: informative.")
@as_option
@data_option
@json_option
def conform_command(
    contract: str,
    url: str,
    edition: str | None,
    here: bool,
    login: str | None,
    data: Path,
    as_json: bool,
) -> None:
    """Have the platform run a contract's conformance suite against an edition.

    Ends with status 0 when it passed, which makes an attestation; 1 when it failed; 2 when nobody
    can say.

    Example: guilder conform pricing --url https://pricing.company-x.example
    """
    if here:
        sys.exit(_here(contract, url, edition, as_json))
    request = read({"contract": contract, "url": url, "edition": edition}, Conform, as_json)
    done = with_platform(data, as_json, lambda p: _follow(p, login, request, as_json))
    show(done, as_json, report(done))
    sys.exit(EXIT[done.state])


async def _follow(
    platform: Platform, login: str | None, request: Conform, as_json: bool
) -> ConformanceRun:
    """Ask for the run and tell of it until it has ended."""
    operations = Registry.operations()
    run: ConformanceRun = await ask(platform, login, operations["conform"], request)
    seen: list[str] = []
    if not as_json:
        click.echo(f"run {run.id}: {request.contract} at {run.url}", err=True)
    patience = time.monotonic() + PATIENCE_S
    while run.state == "running":
        await asyncio.sleep(POLL_S)
        which = RunId(run_id=run.id)
        try:
            run = await ask(platform, login, operations["conformance_run"], which)
            patience = time.monotonic() + PATIENCE_S
        except (Unavailable, DeadlineExceeded):
            if time.monotonic() > patience:
                raise
        if not as_json:
            for line in news(seen, run.progress):
                click.echo(f"  {line}", err=True)
        seen = run.progress
    return run


def news(before: list[str], now: list[str]) -> list[str]:
    """The lines that were not there before; of both only the latest were kept."""
    for gone in range(len(before) + 1):
        if now[: len(before) - gone] == before[gone:]:
            return now[len(before) - gone :]
    return now


def report(run: ConformanceRun) -> str:
    """A run that has ended, for people."""
    release = f"{run.contract} {run.edition}.{run.version}" if run.edition else run.contract
    lines = [f"{release} at {run.url}"]
    lines += [line(check) for check in run.checks]
    if run.state == "passed":
        lines.append(f"passed: attestation {run.attestation}")
        wish = f"TENANT {run.contract}={run.edition}.{run.version} --url {run.url}"
        lines.append(f"next:   guilder binding propose {wish} --mode shadow")
    elif run.state == "failed":
        wrong = sum(not (check.passed or check.skipped) for check in run.checks)
        lines.append(f"failed: {wrong} of {len(run.checks)} checks")
    else:
        lines.append(f"broken: {run.reason}")
        lines.append("Nothing is said of the edition. Put the reason right and ask again.")
    return "\n".join(lines)


def line(check: Check) -> str:
    """One check, for people; what is wrong stands below it."""
    word = "passed" if check.passed else "skipped" if check.skipped else "FAILED"
    took = f"{check.milliseconds / 1000:8.2f} s" if check.milliseconds else ""
    text = f"  {word:<8} {check.name:<20} {took:<10}"
    if word == "FAILED":
        told = textwrap.indent(textwrap.fill(check.detail, WIDTH), " " * 11)
        return f"{text.rstrip()}\n{told}"
    return f"{text}  {check.detail}".rstrip()


def _here(contract: str, url: str, edition: str | None, as_json: bool) -> int:
    """Run the suite as a child of this command; the exit code."""
    command = [*RUNNER, contract, "--url", url, "--json"]
    env = {"GUILDER_OUTBOUND_ALLOW": EVERYWHERE} | dict(os.environ)
    done = subprocess.run(command, env=env, stdout=subprocess.PIPE, check=False)
    if done.returncode not in (0, 1) or not done.stdout:
        return EXIT["broken"]  # it has said why
    said: dict[str, Any] = json.loads(done.stdout)
    manifest = said.get("manifest") or {}
    release = f"{manifest.get('edition')}.{manifest.get('version')}"
    other = edition is not None and edition not in (manifest.get("edition"), release)
    if other:
        said["passed"] = False
    said["informative"] = True
    if as_json:
        click.echo(json.dumps(said))
    else:
        for found in said["checks"]:
            milliseconds = round(found.pop("seconds", 0) * 1000)
            click.echo(line(convert(found | {"milliseconds": milliseconds}, Check)))
        if other:
            click.echo(f"it says that it is {release}, not {edition}")
        click.echo("passed" if said["passed"] else "failed")
        click.echo("informative: cannot be bound; ask a platform to run it, without --here")
    return 0 if said["passed"] else 1
