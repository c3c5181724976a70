"""Whether an edition of somebody else is what this platform has tested."""

from datetime import datetime
from typing import Any

import msgspec

from guilder.chassis.store import Tx
from guilder.chassis.versions import versions
from guilder.contracts.catalogue import all_contracts
from guilder.contracts.errors import AddressRefused
from guilder.contracts.registry import v1
from guilder.contracts.registry.bindings import ContractVersionEnded
from guilder.services.registry import attestation_store
from guilder.services.registry.manifest import AskEdition, NoManifest, Unanswered
from guilder.services.registry.notary import Notary


def with_plain_address(request: v1.Bind, ask: AskEdition) -> v1.Bind:
    """The same with its URL as attestations name it; AddressRefused where we do not send."""
    try:
        return msgspec.structs.replace(request, address=ask.check(request.address))
    except AddressRefused as refused:
        raise AddressRefused(refused.detail, at="$.address") from None


async def attested(tx: Tx, notary: Notary, request: v1.Bind) -> Any:
    """The row by which exactly this may be bound; the problem says why there is none."""
    exactly = request.contract, request.edition, request.version, request.address
    row = await notary.fresh(tx, *exactly)
    if row is not None:
        return row
    wanted = f"{request.contract} {request.edition}.{request.version} at {request.address}"
    earlier = await attestation_store.latest(tx, *exactly)
    if earlier is None or notary.statement(earlier) is None:
        raise v1.NoAttestation(f"{wanted} has never passed here")
    if earlier["expires_at"] > tx.at:
        raise v1.AttestationExpired(f"{wanted} passed a suite that has changed since")
    raise v1.AttestationExpired(f"that of {wanted} ended {earlier['expires_at']:%Y-%m-%d %H:%M}")


def check_version(contract: str, version: str, at: datetime) -> None:
    """Refuse to bind to a version of a contract that is past its sunset, or never was released."""
    why = versions().unbindable(all_contracts()[contract], version, at.date())
    if why:
        raise ContractVersionEnded(why, at="$.contract")


async def check_edition(request: v1.Bind, row: Any, ask: AskEdition) -> None:
    """Ask the edition anew what it is: it must be what was tested."""
    try:
        said = await ask(request.address)
    except (Unanswered, NoManifest) as silent:
        raise v1.ReleaseUnreachable(str(silent), at="$.address") from None
    found = f"{said.contract} {said.edition}.{said.version}"[:100]
    wanted = f"{request.contract} {request.edition}.{request.version}"
    if found != wanted:
        raise v1.WrongRelease(f"it says that it is {found!r}, not {wanted}", at="$.version")
    if said.contract_version != row["contract_version"]:
        tested = row["contract_version"]
        detail = f"it answers {said.contract_version[:30]!r} of the contract, tested was {tested}"
        raise v1.WrongRelease(detail, at="$.version")
    if said.digest != row["digest"]:
        raise v1.DigestChanged(f"it says {said.digest}, tested was {row['digest']}")
