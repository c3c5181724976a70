"""Wires identity; makes its key file and the first operator's secret when they are absent."""

import os
from datetime import timedelta

from guilder.chassis.keyfile import private_file
from guilder.chassis.process import Built, Parts
from guilder.contracts.parties.v1 import Parties
from guilder.contracts.registry.v1 import Registry
from guilder.services.identity import secret
from guilder.services.identity.keyring import Keyring
from guilder.services.identity.service import IdentityService
from guilder.services.identity.settings import IdentitySettings
from guilder.services.identity.tokens import Tokens


def build(parts: Parts) -> Built:
    """Build the service from its parts."""
    settings = IdentitySettings.load(parts.env)
    master = private_file(parts.secrets / "identity" / "signing.key", lambda: os.urandom(32))
    operator = private_file(parts.secrets / "operator.secret", lambda: secret.fresh().encode())
    keyring = Keyring(master, timedelta(seconds=settings.token_s))
    tokens = Tokens(parts.store, keyring, settings, operator.decode().strip())
    service = IdentityService(
        parts.store, parts.once, tokens, parts.client(Registry), parts.client(Parties)
    )
    return Built(service)
