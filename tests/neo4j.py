"""The Neo4j that TEST_NEO4J_URI names, whose content is deleted; `make services-test` starts one."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from storage.follow_neo4j import Neo4jFollower
from storage.marks import Marks
from storage.neo4j_place import Neo4jPlace, driver_of, shown

INSTANCE = "tests"


@asynccontextmanager
async def neo4j_place(instance: str = INSTANCE) -> AsyncIterator[Neo4jPlace]:
    """Its database; the test is skipped where none is named."""
    uri = os.environ.get("TEST_NEO4J_URI")
    if not uri:
        pytest.skip("TEST_NEO4J_URI names no Neo4j; `make services-test` starts one")
    user, password = os.environ.get("TEST_NEO4J_USER", "neo4j"), os.environ.get("TEST_NEO4J_PASSWORD")
    driver = driver_of(uri, user, password)
    try:
        yield Neo4jPlace(driver, instance, shown(uri))
    finally:
        await driver.close()


async def catch_up(follower: Neo4jFollower, database: AsyncEngine, *, at_once: int = 200) -> None:
    """Let it look at everything that is marked; one that does not follow yet is emptied and filled."""
    marks = Marks(database)
    await marks.register(follower)
    while (phase := await marks.phase(follower.name)) == "new":
        if await marks.is_known_to_all(follower.name):
            await follower.wipe()
            await marks.begin_marking(follower)
    while True:
        if phase == "marking":
            await marks.mark_more(follower)
        found = await marks.take(follower.name, at_once)
        await follower.apply(found)
        await marks.done(follower.name, found)
        await marks.settle(follower.name)
        phase = await marks.phase(follower.name)
        if not found and phase == "following":
            return
