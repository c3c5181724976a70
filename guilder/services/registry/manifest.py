"""Asks an edition what it is, and says whether that is what it may be."""

from collections.abc import Iterator
from time import time
from typing import Final

from guilder.chassis.contract import convert, read_json
from guilder.chassis.outbound import Outbound
from guilder.chassis.signature import SigningKey
from guilder.contracts.edition import MANIFEST, Manifest
from guilder.contracts.errors import AddressRefused, InvalidRequest
from guilder.contracts.registry.bindings import Version

ASK_S: Final = 5.0
"""How long an edition may take to say what it is."""

LARGEST: Final = 64 * 1024

LONGEST_TEXT: Final = 80
"""Operators are shown what an edition says of itself: names and versions, nothing longer."""


class Unanswered(Exception):
    """Nobody can be asked at the address; the text says why."""


class NoManifest(Exception):
    """What answers there does not say what it is; the text says what is wrong."""


class AskEdition:
    """Reads what editions say of themselves, by the rules for addresses of somebody else's."""

    def __init__(self, outbound: Outbound, key: SigningKey) -> None:
        """`key` signs what is sent to editions."""
        self._outbound, self._key = outbound, key

    def check(self, url: str) -> str:
        """The base URL as it is kept everywhere; AddressRefused where it may not be reached."""
        try:
            found = self._outbound.rules.check(url)
        except AddressRefused as problem:
            raise AddressRefused(problem.detail, at="$.url") from None
        if found.query:
            raise AddressRefused("a base URL has no query", at="$.url")
        return str(found)

    async def __call__(self, url: str) -> Manifest:
        """What the edition at a base URL says of itself; Unanswered or NoManifest."""
        try:
            to = self._outbound.rules.check(url + MANIFEST)
            headers = self._key.sign("GET", to.authority, to.path, b"", int(time()))
            reply = await self._outbound.request(
                "GET", str(to), headers, b"", timeout_s=ASK_S, most=LARGEST
            )
        except AddressRefused as problem:
            raise Unanswered(problem.detail) from None
        except TimeoutError:
            raise Unanswered(f"no answer within {ASK_S:g} s") from None
        except OSError as error:
            raise Unanswered(f"it cannot be asked: {error.strerror or error}") from None
        if reply.status != 200:
            raise NoManifest(f"GET {MANIFEST} is answered with status {reply.status}")
        try:
            found: Manifest = convert(read_json(reply.body), Manifest)
        except InvalidRequest as problem:
            raise NoManifest(f"GET {MANIFEST}: {problem.detail}, at {problem.at}") from None
        said = found.contract, found.contract_version, found.version, *found.disclaims
        if not all(text.isprintable() and len(text) <= LONGEST_TEXT for text in said):
            raise NoManifest(f"GET {MANIFEST}: a text in it is too long or cannot be shown")
        return found


def faults(manifest: Manifest, contract: str, wanted: str | None) -> Iterator[str]:
    """Why what is there cannot be what was to be tested."""
    release = f"{manifest.edition}.{manifest.version}"
    if manifest.contract != contract:
        yield f"it is an edition of {manifest.contract}, not of {contract}"
    if manifest.edition == "A":
        yield "A is the platform's own edition: take another letter"
    try:
        convert(manifest.version, Version)
    except InvalidRequest:
        yield "its version is not of the form 1.0.0"
    if wanted is not None and wanted not in (manifest.edition, release):
        yield f"it says that it is {release}, not {wanted}"
