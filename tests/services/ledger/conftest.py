"""A tenant of one's own for each test."""

import pytest
from ledger_desk import Desk


@pytest.fixture
def desk(world):
    """In each of the three modes."""
    return Desk(world)


@pytest.fixture
def near(direct):
    """Where the road makes no difference."""
    return Desk(direct)
