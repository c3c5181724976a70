"""Every faulty edition is stopped by exactly the check that the table names."""

from contextlib import contextmanager
from ipaddress import ip_network
from pathlib import Path

import pytest

from guilder.chassis.outbound import Rules
from guilder.conformance.run import SUBJECTS, checks_of, conform
from guilder.conformance.signer import Signer
from tests.editions.faulty import FAULTS, serving
from tests.editions.table import STOPS, contract_of, page

LOOPBACK = Rules((ip_network("127.0.0.0/8"),))
SIGNER = Signer(bytes(range(32)))
PAGE = Path(__file__).parents[2] / "docs" / "concepts" / "faulty-editions.md"


@contextmanager
def ready(contract):
    """What the suite of a contract needs around it, and what its edition has to know of that."""
    with SUBJECTS[contract].ready() as subject:
        recipients = getattr(subject, "recipients", None)
        yield subject, {"smtp": recipients.smtp} if recipients else {}


def judge(fault, without=()):
    """What a short run says of an edition: whether it passed, and which checks it failed."""
    contract = contract_of(fault)
    with ready(contract) as (subject, more):
        report = run(contract, fault, subject, more, without)
    failed = {one.name for one in report.checks if not one.passed and not one.skipped}
    return report.passed, failed


def run(contract, fault, subject, more, without):
    with serving(contract, fault, public_key=SIGNER.public_jwk(), healthy=10**9, **more) as url:
        return conform(
            contract,
            url,
            LOOPBACK,
            signer=SIGNER,
            examples=4,
            patience_s=0,
            without=without,
            subject=subject,
        )


@pytest.mark.parametrize("fault", [f for f, stop in STOPS.items() if stop.by == "suite"])
def test_the_suite_stops_it_by_one_check_alone(fault):
    check = STOPS[fault].check
    assert judge(fault) == (False, {check})
    assert judge(fault, without={check}) == (True, set())


@pytest.mark.parametrize("fault", [f for f, stop in STOPS.items() if stop.asker])
def test_without_the_question_it_would_not_show(fault):
    assert judge(fault, without={STOPS[fault].asker}) == (True, set())


@pytest.mark.parametrize("fault", [f for f, stop in STOPS.items() if stop.by != "suite"])
def test_the_suite_cannot_see_it(fault):
    """So something else has to: the guard's own tests and the shadow's show that it does."""
    assert judge(fault) == (True, set())


def test_the_table_is_complete():
    assert set(STOPS) == set(FAULTS)
    assert len(STOPS) >= 20
    for fault, stop in STOPS.items():
        names = {check.name for check in checks_of(SUBJECTS[contract_of(fault)])}
        assert stop.by != "suite" or stop.check in names, fault


def test_the_page_shows_the_table():
    assert PAGE.read_text() == page(), "python -m tests.editions.table > " + str(PAGE.name)
