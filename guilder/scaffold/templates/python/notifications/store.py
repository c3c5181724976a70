"""What was delivered, so that nothing is delivered twice."""

import sqlite3
import threading
from pathlib import Path

TABLE = """
CREATE TABLE IF NOT EXISTS delivered (
    tenant INTEGER NOT NULL,
    id TEXT NOT NULL,
    hash TEXT NOT NULL,  -- tells a repeat from another message, and holds no text of it
    at TEXT NOT NULL,
    reference TEXT NOT NULL,
    PRIMARY KEY (tenant, id)
)
"""


class Store:
    """A database in a file. Whoever uses it holds `lock`: one message after the other."""

    def __init__(self, path: Path) -> None:
        """Make the file where there is none."""
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.lock = threading.Lock()
        self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._database.execute("PRAGMA synchronous = FULL")
        self._database.execute(TABLE)

    def find(self, tenant: int, name: str) -> tuple[str, str, str] | None:
        """Hash, moment and reference of a delivered message."""
        found: tuple[str, str, str] | None = self._database.execute(
            "SELECT hash, at, reference FROM delivered WHERE tenant = ? AND id = ?", (tenant, name)
        ).fetchone()
        return found

    def add(self, tenant: int, name: str, digest: str, at: str, reference: str) -> None:
        """Durable when it returns."""
        self._database.execute(
            "INSERT INTO delivered VALUES (?, ?, ?, ?, ?)", (tenant, name, digest, at, reference)
        )
