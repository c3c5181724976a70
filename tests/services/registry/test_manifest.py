"""What an edition says of itself is shown to operators, so it is names and versions alone."""

from ipaddress import ip_network

import pytest
from edition_desk import SEED, Edition

from guilder.chassis.outbound import Outbound, Rules
from guilder.chassis.signature import SigningKey
from guilder.services.registry.manifest import AskEdition, NoManifest


async def ask(**said):
    out = Outbound(Rules((ip_network("127.0.0.0/8"),)))
    try:
        async with Edition(**said).serving() as edition:
            return await AskEdition(out, SigningKey(SEED))(edition.url)
    finally:
        out.close()


async def test_names_and_versions_are_taken():
    found = await ask(contract_version="1.0.0-draft", disclaims=["load", "fuzzy-names"])
    assert (found.contract_version, found.disclaims) == ("1.0.0-draft", ["load", "fuzzy-names"])


@pytest.mark.parametrize("text", ["\u202e1.0.0", "\x1b[2J", "1.0.0\n", "x" * 81])
@pytest.mark.parametrize("name", ["contract", "contract_version", "version", "disclaims"])
async def test_what_could_deceive_or_flood_whoever_reads_it_is_not(name, text):
    with pytest.raises(NoManifest, match="cannot be shown"):
        await ask(**{name: ["load", text] if name == "disclaims" else text})
