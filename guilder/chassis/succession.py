"""Replacing a child without a gap: its successor serves before it leaves; many, one at a time."""

import signal
from collections.abc import Callable
from typing import Literal

from guilder.chassis.child import Run
from guilder.chassis.control import Request
from guilder.chassis.supervised import SuperviseError

START_SECONDS = 60.0
"""How long a successor may take until it is ready."""
LEAVE_SECONDS = 60.0
"""How long the replaced process may take to answer what it has begun; then it is killed."""

State = Literal["starting", "leaving", "done", "failed"]


class Succession:
    """One replacement: starting → leaving → done, or failed: then the old process goes on."""

    def __init__(self, old: Run, new: Run, now: float) -> None:
        """`new` has just been started, with the sockets of `old`."""
        self.old, self.new, self.state = old, new, "starting"
        self.detail = ""
        self._until = now + START_SECONDS

    state: State

    def look(self, now: float) -> None:
        """Go on as far as it has come."""
        if self.state == "starting":
            self._starting(now)
        elif self.state == "leaving":
            self._leaving(now)

    def _starting(self, now: float) -> None:
        if self.new.process.poll() is not None:
            self._fail(f"it ended {self.new.how_it_ended()}")
        elif self.new.is_ready():
            self._take_over(now)
        elif now >= self._until:
            self.new.process.kill()
            self.new.process.wait()
            self._fail(f"it was not ready within {START_SECONDS:g} s")

    def _fail(self, detail: str) -> None:
        self.state, self.detail = "failed", detail
        if self.new.ready_file is not None and self.new.ready_file != self.old.ready_file:
            self.new.ready_file.unlink(missing_ok=True)

    def _take_over(self, now: float) -> None:
        child = self.new.child
        if self.new.ready_file is not None and child.ready_file is not None:
            self.new.ready_file.replace(child.ready_file)
            self.new.ready_file = child.ready_file
        self.new.restarts = self.old.restarts
        if self.old.process.poll() is None:
            self.old.process.send_signal(child.make_way)
        self.state, self._until = "leaving", now + LEAVE_SECONDS

    def _leaving(self, now: float) -> None:
        if self.old.process.poll() is not None:
            if self.new.process.poll() is None:
                self.state = "done"
            else:  # it is started again like everything that dies, but nobody may go on from here
                self._fail(f"it was ready and then ended {self.new.how_it_ended()}")
        elif now >= self._until:
            self.old.process.send_signal(signal.SIGKILL)
            self.detail = f"the old process did not leave within {LEAVE_SECONDS:g} s: killed"


class Rolling:
    """Replaces children one after the other and tells who asked; ends at the first that fails."""

    def __init__(
        self, names: list[str], request: Request, replace: Callable[[str], Succession]
    ) -> None:
        """`replace` begins one."""
        self._names, self._request, self._replace = list(names), request, replace
        self._now: Succession | None = None
        self._said: State | None = None

    def step(self) -> bool:
        """Look once; whether everything is over."""
        if self._now is None:
            if not self._names:
                self._request.say(done=True, ok=True)
                self._request.end()
                return True
            name = self._names.pop(0)
            try:
                self._now, self._said = self._replace(name), None
            except SuperviseError as error:
                self._request.say(name=name, state="failed", detail=str(error), pid=None)
                return self._failed()
        now = self._now
        if now.state != self._said:
            self._said = now.state
            name, pid = now.new.child.name, now.new.process.pid
            self._request.say(name=name, state=now.state, detail=now.detail, pid=pid)
        if now.state == "failed":
            return self._failed()
        if now.state == "done":
            self._now = None
        return False

    def _failed(self) -> bool:
        self._request.say(done=True, ok=False)
        self._request.end()
        return True
