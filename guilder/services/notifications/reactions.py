"""What notifications does with the registry's log: every notice becomes a message."""

from uuid import UUID

import structlog

from guilder.chassis.events import SYSTEM, Deed
from guilder.chassis.store import Store
from guilder.contracts.context import PLATFORM, Context
from guilder.contracts.declare import Event
from guilder.contracts.errors import Problem
from guilder.contracts.registry.v1 import Registry
from guilder.contracts.registry.windows import NoticeId
from guilder.services.notifications import store
from guilder.services.notifications.wording import message

log = structlog.get_logger()


def deliver_notice(database: Store, registry: Registry) -> Deed:
    """The deed to `notice.due`: ask what it says and write it down, once by its id."""

    async def deed(event: Event) -> None:
        ctx = Context(tenant=PLATFORM, principal=SYSTEM, request=event.request)
        try:
            notice = await registry.notice(ctx, NoticeId(notice_id=UUID(event.ids["notice"])))
        except Problem as problem:
            if not problem.final:
                raise  # an outage: the follower tries again
            log.error("notice is not delivered", notice=event.ids["notice"], code=problem.code)
            return
        async with database.tx(notice.tenant) as tx:
            await store.add(tx, [(notice.tenant, message(notice))])

    return deed
