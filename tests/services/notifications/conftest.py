"""A mail server and an endpoint for each test, and a desk that uses them."""

import pytest_asyncio
from outside import Endpoint, MailServer, open_desk


@pytest_asyncio.fixture(loop_scope="session")
async def smtp():
    async with MailServer().serving() as server:
        yield server


@pytest_asyncio.fixture(loop_scope="session")
async def endpoint():
    async with Endpoint().serving() as made:
        yield made


@pytest_asyncio.fixture(loop_scope="session")
async def desk(world, smtp):
    """In the three modes."""
    async with open_desk(world, smtp) as made:
        yield made


@pytest_asyncio.fixture(loop_scope="session")
async def direct_desk(direct, smtp):
    async with open_desk(direct, smtp) as made:
        yield made
