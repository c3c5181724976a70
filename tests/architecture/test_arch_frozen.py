"""What a released contract promises never changes; a draft may.

To editions it never changes at all without a new version: they were attested against it. What
clients call may grow, and never break them.
"""

import json
from pathlib import Path

import house
import pytest

from guilder.chassis.changes import changes, part
from guilder.chassis.versions import Versions, document
from guilder.contracts.context import Context
from guilder.contracts.declare import Answer, Answers, Batch, Contract, Request, operation
from tools.freeze import freeze


def drift(contract: type[Contract], folder: Path) -> str:
    """What is wrong with a contract's frozen document, or ""."""
    name, version = contract.contract_name, contract.contract_version
    if version.endswith("-draft"):
        return ""
    path = folder / f"{name}-{version}.json"
    if not path.exists():
        return f"{name} {version} is released: keep its document as {path.name}"
    kept, present = json.loads(path.read_text("utf-8")), document(contract)
    if part(kept, "editions") != part(present, "editions"):
        return f"{name} {version} is frozen and differs from {path.name}: raise its version"
    broken = [change.text for change in changes(kept, present) if change.breaks]
    return f"{name} {version} is frozen, and breaks clients: {'; '.join(broken)}" * bool(broken)


def test_released_contracts_are_as_they_were():
    folders = {name: house.SOURCE / "contracts" / name / "openapi" for name in house.contracts()}
    assert [d for n, c in house.contracts().items() if (d := drift(c, folders[n]))] == []


def test_every_released_version_has_its_document_and_every_document_its_day():
    book = Versions(house.text(house.SOURCE / "contracts" / "versions.toml"))
    listed = {(n, v) for n in house.contracts() for v in book.released(n)}
    kept = {
        tuple(path.stem.rsplit("-", 1)) for path in house.SOURCE.glob("contracts/*/openapi/*.json")
    }
    assert listed == kept


class Question(Request, frozen=True, kw_only=True):
    """A question."""

    amount: int


class LaterQuestion(Request, frozen=True, kw_only=True):
    """The question, changed."""

    amount: str


class Reply(Answer, frozen=True, kw_only=True):
    """An answer."""

    fee: int


class LongerReply(Answer, frozen=True, kw_only=True):
    """An answer with more in it."""

    fee: int
    why: str | None = None


def made(asked=Question, answered=Reply, listed=Reply, *, version="1.0.0", extra=False):
    """A contract with one operation for editions and one or two for clients."""

    class Made(Contract, name="made", version=version, kind="decision"):
        """Made up for this test."""

        @operation("POST /quotes", command=False, replaceable=True, sees=("amount",))
        async def quote(self, calls: Batch[asked]) -> Answers[answered]:
            """Quote."""

        @operation("POST /tariffs", public=True, may="administer")
        async def put(self, ctx: Context, request: asked) -> listed:
            """Set."""

        if extra:

            @operation("GET /tariffs", public=True, may="view")
            async def tariffs(self, ctx: Context, request: asked) -> listed:
                """List."""

    return Made


@pytest.fixture
def folder(tmp_path):
    """A folder of contracts without any version, where `made` 1.0.0 was then frozen."""
    (tmp_path / "versions.toml").write_text("# none yet\n")
    assert "keep its document" in drift(made(), tmp_path / "made" / "openapi")
    assert "is frozen: made-1.0.0.json" in freeze(made(), tmp_path, "2026-03-02")
    return tmp_path


def test_what_is_frozen_is_as_it_was(folder):
    assert drift(made(), folder / "made" / "openapi") == ""
    assert set(Versions((folder / "versions.toml").read_text()).released("made")) == {"1.0.0"}


@pytest.mark.parametrize(
    ("contract", "said"),
    [
        (made(asked=LaterQuestion), "raise its version"),
        (made(answered=LongerReply), "raise its version"),  # an addition too
        (made(listed=LongerReply, extra=True), ""),
        (made(extra=True), ""),
        (made(version="1.1.0-draft", asked=LaterQuestion), ""),
        (made(version="1.1.0"), "keep its document"),
    ],
)
def test_drift_of_a_frozen_contract_is_seen(folder, contract, said):
    found = drift(contract, folder / "made" / "openapi")
    assert said in found
    assert bool(said) == bool(found)


def test_clients_of_a_frozen_contract_are_never_broken(folder):
    class Shorter(Answer, frozen=True, kw_only=True):
        """An answer without the fee."""

        price: int

    assert "`body.fee` is no longer answered" in drift(
        made(listed=Shorter), folder / "made" / "openapi"
    )


def test_words_may_be_improved(folder):
    path = folder / "made" / "openapi" / "made-1.0.0.json"
    kept = json.loads(path.read_text())
    kept["paths"]["/made/v1/quotes"]["post"]["summary"] = "said otherwise"
    path.write_text(json.dumps(kept))
    assert drift(made(), path.parent) == ""


def test_what_is_frozen_is_never_frozen_as_something_else(folder):
    path = folder / "made" / "openapi" / "made-1.0.0.json"
    before = path.read_bytes()
    assert "as it was" in freeze(made(), folder, "2026-04-01")
    with pytest.raises(SystemExit, match="has changed since"):
        freeze(made(asked=LaterQuestion), folder, "2026-04-01")
    with pytest.raises(SystemExit, match="set version"):
        freeze(made(version="1.1.0-draft"), folder, "2026-04-01")
    assert path.read_bytes() == before
    assert (folder / "versions.toml").read_text().count("released") == 1
