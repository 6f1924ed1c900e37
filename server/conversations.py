"""Conversations that were removed are deleted to their end, whoever was cut short while doing so."""

from __future__ import annotations

from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from handlers.forget_conversation import ConversationStores, forget_conversation
from server.by_turns import by_turns
from server.engine import Engine
from storage.conversations import Conversations
from storage.journal import CustodyJournal
from storage.partials import Partials
from storage.query_graphs import QueryGraphs
from storage.webhook_deliveries import WebhookDeliveries

EVERY_S = 20.0
_TURN = "conversations-0-turn"
"""A lease by which the servers agree on who does it, in the shape of an effect id of shard 0."""


def conversation_stores(
    engine: Engine, redis: Redis, database: AsyncEngine, journal: CustodyJournal, shards: int
) -> ConversationStores:
    """Where something of a conversation may be."""
    return ConversationStores(
        machines=engine.store,
        conversations=Conversations(database, journal),
        graphs=QueryGraphs(redis, shards=shards),
        partials=Partials(redis),
        letters=WebhookDeliveries(database),
    )


class ConversationsSweeper:
    """Looks for removed conversations every `every_s`; of many servers one does.

    Args:
        holder: Unique to this life of this process.
    """

    def __init__(
        self, engine: Engine, stores: ConversationStores, *, holder: str, every_s: float = EVERY_S
    ) -> None:
        self._engine = engine
        self._stores = stores
        self._holder = holder
        self._every_s = every_s

    async def run(self) -> None:
        """Look until cancelled.

        Raises:
            Unavailable, RedisError, SQLAlchemyError: A store does not answer.
        """
        await by_turns(self._engine.store, _TURN, self._holder, self.look, every_s=self._every_s, missed=3)

    async def look(self) -> int:
        """Delete what was removed; returns how many conversations that were."""
        leaving = await self._stores.conversations.leaving()
        for one in leaving:
            await forget_conversation(one, stores=self._stores)
        return len(leaving)


def sweeper_of(
    engine: Engine, redis: Redis, database: AsyncEngine, shards: int, *, holder: str
) -> ConversationsSweeper:
    """The sweeper with its stores."""
    stores = conversation_stores(engine, redis, database, CustodyJournal(database), shards)
    return ConversationsSweeper(engine, stores, holder=holder)
