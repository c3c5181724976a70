"""Wires notifications."""

from guilder.chassis.events import Doer, Follower
from guilder.chassis.meter import Measure
from guilder.chassis.outbound import Lookups, Outbound, Rules
from guilder.chassis.process import Built, Parts, Sweep
from guilder.contracts.notifications.v1 import Notifications
from guilder.contracts.payments.v1 import Payments
from guilder.contracts.registry.v1 import Registry
from guilder.contracts.vault.v1 import Vault
from guilder.services.notifications.carrier import Carrier
from guilder.services.notifications.engine import LOOK_SECONDS, Engine
from guilder.services.notifications.mail import Mailer
from guilder.services.notifications.reactions import (
    deliver_notice,
    keys_destroyed,
    tell_payments,
)
from guilder.services.notifications.service import NotificationsService
from guilder.services.notifications.settings import NotificationsSettings

COUNT_SECONDS = 10.0
TIDY_SECONDS = 3_600.0


def build(parts: Parts) -> Built:
    """Build the service, what carries its deliveries out, and the followers of news."""
    assert parts.sealer is not None  # calls.toml lets notifications call the vault
    settings, rules = NotificationsSettings.load(parts.env), Rules.load(parts.env)
    registry, sealer = parts.client(Registry), parts.sealer
    lookups = Lookups()
    outbound = Outbound(rules, lookups)
    mailer = Mailer(settings) if settings.smtp else None
    stock = Carrier(parts.store, sealer, outbound, mailer, parts.clock)
    service = NotificationsService(
        parts.store, parts.once, registry, sealer, stock, rules, lookups, settings
    )
    label = parts.calls.bindings.stock("notifications").label
    client = parts.client(Notifications)
    engine = Engine(parts.store, client, stock, label, sealer, settings.patience)
    parts.store.farewells.append(outbound.close)
    tries = settings.attempts
    deeds = {"notice.due": deliver_notice(parts.store, registry, tries)}
    followers = [
        Doer(parts.store, parts.client(Registry), deeds, parts.clock, name="inbox"),
        Follower(parts.store, parts.client(Payments), {}, parts.clock, page=tell_payments(tries)),
        Follower(parts.store, parts.client(Vault), {"subject.erased": keys_destroyed}, parts.clock),
    ]
    sweeps = [
        Sweep(LOOK_SECONDS, engine.round),
        Sweep(COUNT_SECONDS, engine.look),
        Sweep(TIDY_SECONDS, service.tidy),
    ]
    return Built(service, followers, sweeps, measures(engine))


def measures(engine: Engine) -> list[Measure]:
    """What is worth watching."""
    return [
        Measure(
            "guilder_notifications_queued",
            "Deliveries that wait or are tried.",
            lambda: engine.queued,
        ),
        Measure(
            "guilder_notifications_oldest_seconds",
            "Age of the oldest of them.",
            lambda: engine.oldest_s,
        ),
        Measure(
            "guilder_notifications_attempts_total",
            "Attempts to deliver that were begun.",
            lambda: engine.attempts,
        ),
        Measure(
            "guilder_notifications_failures_total",
            "Attempts that failed, by kind.",
            lambda: engine.failures,
            label="kind",
        ),
    ]
