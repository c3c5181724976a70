"""`python -m guilder.conformance CONTRACT --url URL`: one run, one JSON object on stdout.

Progress goes to stderr. Exit 0: passed, 1: failed, 2: it could not be run.
"""

import argparse
import json
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from guilder.chassis.outbound import Rules
from guilder.chassis.settings import BadSetting
from guilder.contracts.errors import AddressRefused

if TYPE_CHECKING:
    from guilder.conformance.run import Result

PASSED, FAILED, NOT_RUN = 0, 1, 2


class CannotRun(Exception):
    """Why there is no result."""


def main(args: list[str] | None = None, out: TextIO = sys.stdout, err: TextIO = sys.stderr) -> int:
    """Run as the arguments say; the exit code."""
    given = _arguments().parse_args(args)
    try:
        report = _run(given, err)
    except (CannotRun, AddressRefused, BadSetting) as error:
        err.write(f"not run: {error}\n")
        return NOT_RUN
    except Exception:  # of the suite itself: never to be mistaken for a verdict on an edition
        err.write(f"not run: a defect of the suite\n{traceback.format_exc()}")
        return NOT_RUN
    out.write(json.dumps(report, indent=None if given.json else 2) + "\n")
    return PASSED if report["passed"] else FAILED


def _run(given: argparse.Namespace, err: TextIO) -> dict[str, Any]:
    try:
        from guilder.conformance.run import SUBJECTS, conform
        from guilder.conformance.signer import Signer
    except ModuleNotFoundError as error:
        raise CannotRun(f"{error.name} is missing: pip install 'guilder[conform]'") from None
    if given.contract not in SUBJECTS:
        raise CannotRun(f"{given.contract} has no suite; these have: {', '.join(SUBJECTS)}")
    signer = None
    if given.keys_seed_file is not None:
        try:
            signer = Signer.read(given.keys_seed_file.read_bytes())
        except (OSError, ValueError) as error:
            raise CannotRun(f"{given.keys_seed_file}: {error}") from None

    def tell(result: "Result") -> None:
        word = "passed" if result.passed else "skipped" if result.skipped else "FAILED"
        more = f": {result.detail}" if result.detail else ""
        err.write(f"{word:8}{result.name} ({result.seconds:.2f} s){more}\n")
        err.flush()

    report = conform(
        given.contract,
        given.url,
        Rules.load(),
        signer=signer,
        examples=given.examples,
        tell=tell,
    )
    return report.document()


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m guilder.conformance",
        description="Judge an edition by its contract's suite, over HTTP alone.",
        epilog="example: GUILDER_OUTBOUND_ALLOW=127.0.0.0/8 python -m guilder.conformance pricing"
        " --url http://127.0.0.1:9100",
    )
    parser.add_argument("contract", help="pricing, screening or notifications")
    parser.add_argument("--url", required=True, help="the edition's base URL")
    parser.add_argument(
        "--examples", type=_count, default=60, help="how many cases a check makes up (60)"
    )
    parser.add_argument(
        "--keys-seed-file", type=Path, help="32 bytes, or 64 hex digits: requests are signed"
    )
    parser.add_argument("--json", action="store_true", help="print the object on one line")
    return parser


def _count(text: str) -> int:
    number = int(text)
    if not 1 <= number <= 10_000:
        raise argparse.ArgumentTypeError("between 1 and 10000")
    return number


if __name__ == "__main__":
    sys.exit(main())
