"""Every cell of degradation.toml, tried on a platform of one process a service."""

import json
import time
from contextlib import closing

import pytest

from guilder.chassis.testing import soon
from guilder.contracts.catalogue import all_contracts
from tests.chaos.bank import Bank, services_of
from tests.chaos.doors import FAULTS, Doors
from tests.chaos.probes import Tried, fresh, tried
from tests.journeys.bare_hands import guilder
from tests.journeys.conftest import demo
from tools import degradation

pytestmark = pytest.mark.slow

CELLS = [(service, fault) for service in all_contracts() for fault in FAULTS]
STARTS = [("registry", "gateway"), ("vault", "payments")]
ROUNDS = sum(1 + len(ways) for ways in FAULTS.values()) * len(all_contracts()) + len(STARTS)

CACHED_SECONDS = {"identity": 3.5, "registry": 5.5}
"""How long the gateway asks nothing after a token and a tenant that it has just asked after."""
CACHING_KEYS = ("access", "identity", "parties", "payments")
"""Who keeps keys of the vault for a minute, counted from the first question."""

SAID = {
    "works": {"works"},
    "late": {"works", "late"},
    "waits": {"waits"},
    "refused": {"refused"},
    "either": {"works", "late", "waits", "refused"},
}
"""What may be seen where the table says a word."""


@pytest.fixture(scope="module")
def bank():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GUILDER_IDENTITY_TOKEN_S", "3600")
        with demo("--split") as running, closing(Doors(services_of(running.data))) as doors:
            yield Bank(running, doors, newcomers=ROUNDS)


@pytest.mark.parametrize(("service", "fault"), CELLS)
def test_cell(bank, service, fault):
    (cell,) = [c for c in degradation.cells() if (c.service, c.fault) == (service, fault)]
    if service == "vault":
        guilder("restart", *CACHING_KEYS, data=bank.running.data)
    rounds = [(way, fresh(bank)) for way in FAULTS[fault]]
    assert {probe.name for _, probes in rounds for probe in probes} == set(cell.words)
    ends_well(bank, tried(fresh(bank)))  # everybody is known and at work
    seen: list[tuple[str, Tried]] = []
    before = bank.doors.spoilt(service)
    try:
        for way, probes in rounds:
            bank.doors.set(service, way)
            time.sleep(CACHED_SECONDS.get(service, 0.0))
            seen += [(way, each) for each in tried(probes)]
    finally:
        bank.doors.set(service, None)
    assert bank.doors.spoilt(service) > before  # else the cell would prove nothing
    ends_well(bank, [each for _, each in seen])
    wrong = [
        f"{way}: {each.probe.name} is said to be {expected}, {each.word} in {each.seconds:.1f} s"
        for way, each in seen
        if each.word not in SAID[expected := cell.words[each.probe.name]]
    ]
    assert not wrong, "\n".join(["", *wrong])


def ends_well(bank, seen):
    """The part is back: what did not work does now, under the same key and so once."""
    for each in seen:
        if each.word == "waits":  # by itself, without a repeat
            path = f"/v1/payments/{each.answer.json['id']}"
            soon(lambda p=path: bank.client().get(p)["state"], "booked".__eq__, 60.0)
        ended = each.answer
        if each.word not in ("works", "late"):
            ended = soon(each.probe.send, each.probe.right, 60.0)
        if each.probe.operation == "payments.create":
            bank.paid_for[ended.json["id"]] = each.probe


@pytest.mark.parametrize(("service", "starts"), STARTS)
def test_a_process_that_starts_without_a_part_guesses_nothing(bank, service, starts):
    """It knows no tenant, or no key: it refuses, changes nothing, and is well with the part."""
    (probe,) = [probe for probe in fresh(bank) if probe.name == "pay"]
    bank.doors.set(service, "refused")
    try:
        guilder("restart", starts, data=bank.running.data)
        (seen,) = tried([probe])
    finally:
        bank.doors.set(service, None)
    assert seen.word == "refused"
    ends_well(bank, [seen])


def test_afterwards_every_payment_is_in_the_books_once(bank):
    """Whatever was acknowledged, at once or later, is there, and nothing else is."""
    assert bank.received() - bank.before == len(bank.paid_for) - 1  # `paid` was paid before
    for id_, probe in bank.paid_for.items():
        again = probe.send()
        assert (again.status, again.json["id"]) == (201, id_)
        assert again.headers["idempotent-replayed"] == "true"
    assert bank.received() - bank.before == len(bank.paid_for) - 1
    proposals = soon(
        lambda: bank.approved(), lambda found: all(p["state"] == "executed" for p in found)
    )
    assert proposals
    verdict = json.loads(guilder("verify", "--json", data=bank.running.data).stdout)
    assert verdict["ok"] is True
