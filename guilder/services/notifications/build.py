"""Wires notifications."""

from guilder.chassis.events import Doer
from guilder.chassis.process import Built, Parts
from guilder.contracts.registry.v1 import Registry
from guilder.services.notifications.reactions import deliver_notice
from guilder.services.notifications.service import NotificationsService


def build(parts: Parts) -> Built:
    """Build the service and the follower of the registry's notices."""
    registry = parts.client(Registry)
    deeds = {"notice.due": deliver_notice(parts.store, registry)}
    follower = Doer(parts.store, parts.client(Registry), deeds, parts.clock, name="inbox")
    return Built(NotificationsService(parts.store, registry), [follower])
