"""The single fenced writer: the one session that may write the books.

The session holds an advisory lock for as long as it lives. Another process gets Unavailable until
that session is gone; when this process loses its session, the next transaction opens a new one and
takes the lock anew. Nothing is remembered between transactions, so nothing needs to be reloaded.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from guilder.chassis.store import Store, Tx
from guilder.contracts.errors import Unavailable
from guilder.services.ledger.store import take_lock

LOCK_TRIES, LOCK_PAUSE = 120, 0.025
"""How often the lock is asked for, and seconds between: three seconds in all."""

LEAVE_SECONDS = 1.0
"""Until then what has begun in a process that leaves is written; a long reader may stay longer."""


class Writer(Store):
    """A store whose every transaction runs on the fenced session, one at a time."""

    def __init__(self, store: Store) -> None:
        """`store` opens the session; its pool serves readers."""
        super().__init__(store.service, {}, store.clock)
        self._readers = store
        self._turn = asyncio.Lock()
        self._fenced: Any = None
        self._writing = 0
        self._lets_go = False
        store.farewells.append(self._leave)

    @asynccontextmanager
    async def tx(self, *tenants: int) -> AsyncIterator[Tx]:
        """Open a transaction when it is our turn; Unavailable while another process writes."""
        self._writing += 1
        try:
            async with self._turn:
                session = await self._session()
                try:
                    async with self._readers.on(session, *tenants) as tx:
                        yield tx
                finally:
                    if session.is_closed() or session.is_in_transaction():
                        session.terminate()
                        self._fenced = None
        finally:
            self._writing -= 1
            self._let_go()

    def _leave(self) -> None:
        """Soon hold the lock no longer than a write takes: a successor waits for it."""
        asyncio.get_running_loop().call_later(LEAVE_SECONDS, self._let_go, True)

    def _let_go(self, soon_is_over: bool = False) -> None:
        self._lets_go |= soon_is_over
        if self._lets_go and not self._writing and self._fenced is not None:
            self._fenced.terminate()
            self._fenced = None

    async def _session(self) -> Any:
        if self._fenced is not None and not self._fenced.is_closed():
            return self._fenced
        session = await self._readers.session()
        try:
            for _ in range(LOCK_TRIES):  # a process that is being replaced gives it up soon
                if await take_lock(session):
                    self._fenced = session
                    return session
                await self.clock.sleep(LOCK_PAUSE)
        finally:
            if self._fenced is not session:
                session.terminate()
        raise Unavailable("another process is the writer of this ledger", retry_after=1)
