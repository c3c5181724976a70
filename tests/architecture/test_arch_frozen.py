"""A released contract never changes; a draft may."""

import json
from pathlib import Path

import house

from guilder.chassis.openapi import contract_document
from guilder.contracts.context import Context
from guilder.contracts.declare import Answer, Contract, Request, operation


def drift(contract: type[Contract], folder: Path) -> str:
    """What is wrong with a contract's frozen document, or ""."""
    name, version = contract.contract_name, contract.contract_version
    if version.endswith("-draft"):
        return ""
    frozen = folder / f"{name}-{version}.json"
    if not frozen.exists():
        return f"{name} {version} is released: keep its document as {frozen.name}"
    # Through JSON, so that tuples and lists compare alike.
    if json.loads(frozen.read_text("utf-8")) != json.loads(json.dumps(contract_document(contract))):
        return f"{name} {version} is frozen and differs from {frozen.name}: raise the minor version"
    return ""


def test_released_contracts_are_as_they_were():
    folders = {name: house.SOURCE / "contracts" / name / "openapi" for name in house.contracts()}
    assert [d for n, c in house.contracts().items() if (d := drift(c, folders[n]))] == []


class Question(Request, frozen=True, kw_only=True):
    """A question."""

    amount: int


class LaterQuestion(Request, frozen=True, kw_only=True):
    """The question, changed."""

    amount: str


class Reply(Answer, frozen=True, kw_only=True):
    """An answer."""

    fee: int


class Made(Contract, name="made", version="1.0.0"):
    """A contract made up for this test."""

    @operation("POST /quotes", command=False, public=True, may="view")
    async def quote(self, ctx: Context, request: Question) -> Reply:
        """Quote."""
        raise NotImplementedError


class MadeLater(Contract, name="made", version="1.0.0"):
    """The same version with another type."""

    @operation("POST /quotes", command=False, public=True, may="view")
    async def quote(self, ctx: Context, request: LaterQuestion) -> Reply:
        """Quote."""
        raise NotImplementedError


class MadeDraft(Contract, name="made", version="1.1.0-draft"):
    """The next version, still a draft."""


def test_drift_of_a_frozen_contract_is_seen(tmp_path):
    assert "keep its document" in drift(Made, tmp_path)
    (tmp_path / "made-1.0.0.json").write_text(json.dumps(contract_document(Made)))
    assert drift(Made, tmp_path) == ""
    assert "differs" in drift(MadeLater, tmp_path)
    assert drift(MadeDraft, tmp_path) == ""
