"""Wires the registry; makes the key of attestations when it is absent."""

from datetime import timedelta

from guilder.chassis.keyfile import private_file
from guilder.chassis.outbound import Outbound, Rules as Addresses
from guilder.chassis.process import Built, Parts, Sweep
from guilder.chassis.signature import PAIR, SigningKey
from guilder.contracts.access.v1 import Access
from guilder.services.registry.conformance import WORK_SECONDS, Editions
from guilder.services.registry.maintenance import SWEEP_SECONDS
from guilder.services.registry.manifest import AskEdition
from guilder.services.registry.notary import Notary, fresh_key
from guilder.services.registry.observations import FORGET_SECONDS
from guilder.services.registry.release import ask_release
from guilder.services.registry.service import RegistryService
from guilder.services.registry.settings import RegistrySettings
from guilder.services.registry.suite import Limits, Suite
from guilder.services.registry.window import Rules


def build(parts: Parts) -> Built:
    """Build the service from its parts."""
    settings = RegistrySettings.load(parts.env)
    rules = Rules(
        notice=timedelta(hours=settings.notice_hours),
        longest=timedelta(hours=settings.window_hours),
    )
    access = parts.client(Access)
    seed = parts.keys.key(*PAIR)
    suite = Suite(parts.env, seed, Limits(seconds=settings.conformance_minutes * 60.0))
    key = private_file(parts.secrets / "registry" / "attestation.key", fresh_key)
    life = timedelta(hours=settings.attestation_hours)
    editions = Editions(
        notary=Notary(key, life, suite.current),
        suite=suite,
        ask=AskEdition(Outbound(Addresses.load(parts.env)), SigningKey(seed)),
        request_key=SigningKey(seed).public_jwk() | {"guilder_use": "requests"},
    )
    service = RegistryService(parts.store, parts.once, access, ask_release, rules, editions)
    sweeps = [Sweep(SWEEP_SECONDS, service.sweep), Sweep(WORK_SECONDS, service.work)]
    sweeps.append(Sweep(FORGET_SECONDS, service.forget))
    return Built(service, sweeps=sweeps)
