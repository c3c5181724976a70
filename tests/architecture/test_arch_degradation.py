"""The table of what is lost with a part is whole: each service, each fault, each probe."""

import house

from guilder.contracts.catalogue import all_contracts
from tests.chaos.doors import FAULTS
from tools import degradation

MISSING = "say in guilder/contracts/degradation.toml what is lost without it"


def test_every_service_has_a_cell_for_every_fault():
    there = {(cell.service, cell.fault) for cell in degradation.cells()}
    assert set(degradation.book()["faults"]) == set(FAULTS)
    wanted = {(service, fault) for service in all_contracts() for fault in FAULTS}
    assert there == wanted, MISSING


def test_every_cell_says_what_callers_do():
    assert [cell for cell in degradation.cells() if not cell.callers.endswith(".")] == []


def test_every_word_is_explained():
    assert tuple(degradation.book()["words"]) == degradation.WORDS


def test_no_key_is_misspelt():
    known = {"callers", *FAULTS, *degradation.WORDS}
    service = degradation.book()["service"]
    keys = {key for entry in service.values() for key in entry}
    keys |= {key for entry in service.values() for fault in FAULTS for key in entry[fault]}
    assert keys <= known


def test_the_page_is_what_the_file_says():
    page = house.text(house.ROOT / degradation.PAGE)
    assert page == degradation.page(), "run `make docs`"
