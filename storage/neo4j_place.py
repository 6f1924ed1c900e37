"""One database of a Neo4j server: how it is reached, what form it has, and what its errors mean.

    (c:Chunk {id, case, evidence, ordinal, hidden})
    (v:Evidence {id, case, title, hidden})
    (e:Entity {id, case, kind, name, status})
    (p:Poi {id, case, name, aliases})

    (c)-[:PART]->(v)   (c)-[:NEXT]->(the chunk after it)   (c)-[:SIMILAR {cosine}]->(one with a larger id)
    (c)-[:MENTION {count}]->(e)   (e)-[:IS]->(p)   (e)-[:SAME_AS]->(one with a larger id)
    (e)-[:RELATION {chunk, predicate, count}]->(another), which the chunk of that id says

Ids are PostgreSQL's. `(:Case {id, version})` has a version that differs after every change of the case's
graph, and `(:Casewire {instance, form})` says whose database it is, so that nobody else's is emptied.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import neo4j
from neo4j import AsyncDriver, AsyncManagedTransaction
from neo4j.exceptions import (
    AuthError,
    ConfigurationError,
    DriverError,
    Neo4jError,
    ServiceUnavailable,
    SessionExpired,
)

from storage.follow import StoreAway, StoreUnfit

OLDEST = (5, 23)
"""The first release with subqueries in the form that is used here."""
FORM = 2
"""Of nodes and edges; a database of another form is filled anew."""

ANSWER_S = 20
WRITE_S = 60
_CONNECT_S = 5.0
_RETRY_S = 2.0

Values = Mapping[str, Any]
Statement = tuple[str, Values]

_FORM = (
    *(
        f"CREATE CONSTRAINT casewire_{label.lower()}_id IF NOT EXISTS FOR (n:{label}) REQUIRE n.id IS UNIQUE"
        for label in ("Case", "Chunk", "Entity", "Evidence", "Poi")
    ),
    *(
        f"CREATE INDEX casewire_{label.lower()}_case IF NOT EXISTS FOR (n:{label}) ON (n.case)"
        for label in ("Chunk", "Entity", "Evidence", "Poi")
    ),
    "CREATE INDEX casewire_chunk_evidence IF NOT EXISTS FOR (n:Chunk) ON (n.evidence)",
    "CREATE INDEX casewire_relation_chunk IF NOT EXISTS FOR ()-[r:RELATION]-() ON (r.chunk)",
)
_INDEXES_BUILT = "CALL db.awaitIndexes(30)"
_VERSION = (
    "CALL dbms.components() YIELD name, versions, edition "
    "WHERE name = 'Neo4j Kernel' RETURN versions[0], edition"
)
_OWNER = "MATCH (n:Casewire) RETURN n.instance, n.form LIMIT 1"
_FOREIGN = "MATCH (n) RETURN labels(n) LIMIT 1"
_OWN = "MERGE (n:Casewire) SET n.instance = $instance, n.form = $form"
_EMPTY = "MATCH (n) WHERE NOT n:Casewire CALL (n) { DETACH DELETE n } IN TRANSACTIONS OF 2000 ROWS"


def driver_of(uri: str, user: str, password: str | None) -> AsyncDriver:
    """A driver for one event loop; asks nothing yet. Close it with `await driver.close()`."""
    # It logs what it raises, too, and each of its tries; whoever catches the error logs it once.
    logging.getLogger("neo4j").setLevel(logging.CRITICAL)
    return neo4j.AsyncGraphDatabase.driver(
        uri,
        auth=None if password is None else (user, password),
        connection_timeout=_CONNECT_S,
        connection_acquisition_timeout=2 * _CONNECT_S,
        max_transaction_retry_time=_RETRY_S,
        max_connection_pool_size=16,
        keep_alive=True,
        notifications_min_severity="OFF",
        telemetry_disabled=True,
    )


def shown(uri: str) -> str:
    """A URI without what may stand before the host."""
    parts = urlsplit(uri)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


class Neo4jPlace:
    """A database of a server.

    Args:
        instance: Whose graph it holds.
        where: The server, as people are told.
        database: Its name; None: the one that the server takes for the user.
    """

    def __init__(
        self, driver: AsyncDriver, instance: str, where: str, *, database: str | None = None
    ) -> None:
        self.driver = driver
        self.instance = instance
        self.database = database
        self.where = where if database is None else f"{where} ({database})"

    async def read(self, query: str, values: Values, *, within_s: int = ANSWER_S) -> list[list[Any]]:
        """The records of a query that changes nothing.

        Raises:
            StoreAway, StoreUnfit: There is no answer.
        """
        async with self.asked(within_s):
            found = await self.driver.execute_query(
                neo4j.Query(query, timeout=within_s),
                dict(values),
                routing_=neo4j.RoutingControl.READ,
                database_=self.database,
            )
        return [record.values() for record in found.records]

    async def write(self, statements: Sequence[Statement]) -> None:
        """Do all of them or none, in one transaction.

        Raises:
            StoreAway, StoreUnfit: They are done or not; doing them again has to be harmless.
        """

        async def work(transaction: AsyncManagedTransaction) -> None:
            for query, values in statements:
                await (await transaction.run(query, dict(values))).consume()

        async with self.asked(WRITE_S), self.driver.session(database=self.database) as session:
            await session.execute_write(work)

    async def run(self, query: str, values: Values) -> None:
        """Run a query that divides its work into transactions of its own, or changes the form.

        Raises:
            StoreAway, StoreUnfit: Some of it may be done.
        """
        async with self.asked(None), self.driver.session(database=self.database) as session:
            await (await session.run(query, dict(values))).consume()

    async def version(self) -> str:
        """Version and edition of the server, once the database has been seen to fit.

        Raises:
            StoreAway: It does not answer.
            StoreUnfit: It is too old, or is somebody else's, or has another form.
        """
        [[version, edition]] = await self.read(_VERSION, {})
        numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
        if numbers < OLDEST:
            raise StoreUnfit(
                f"Neo4j at {self.where} is version {version}, but {OLDEST[0]}.{OLDEST[1]} or newer is needed"
            )
        owner = await self._owner()
        if owner is None:
            raise StoreUnfit(
                f"Neo4j at {self.where} does not hold the graph of this instance (any more): make it with "
                "`casewire rebuild graph`"
            )
        if owner != (self.instance, FORM):
            raise (
                self._of_another()
                if owner[0] != self.instance
                else StoreUnfit(
                    f"the graph in Neo4j at {self.where} has the form of another release: make it anew with "
                    "`casewire rebuild graph`"
                )
            )
        return f"{version} {edition}"

    async def make(self) -> None:
        """Leave the database empty and in the form of this release.

        Raises:
            StoreAway: Some of it may be done.
            StoreUnfit: It holds something that is not of this instance, and is left as it is.
        """
        owner = await self._owner()
        if owner is None and await self.read(_FOREIGN, {}):
            raise StoreUnfit(
                f"Neo4j at {self.where} holds nodes that are not Casewire's: name an empty database by "
                "NEO4J_DATABASE or an empty server by NEO4J_URI"
            )
        if owner is not None and owner[0] != self.instance:
            raise self._of_another()
        await self.write([(_OWN, {"instance": self.instance, "form": FORM})])
        await self.run(_EMPTY, {})
        for statement in _FORM:
            await self.run(statement, {})
        await self.run(_INDEXES_BUILT, {})

    async def _owner(self) -> tuple[str, int] | None:
        found = await self.read(_OWNER, {})
        return (str(found[0][0]), int(found[0][1])) if found else None

    def _of_another(self) -> StoreUnfit:
        return StoreUnfit(
            f"Neo4j at {self.where} holds the graph of another instance: name an empty database by "
            "NEO4J_DATABASE or an empty server by NEO4J_URI"
        )

    @asynccontextmanager
    async def asked(self, within_s: float | None) -> AsyncIterator[None]:
        """Whatever the driver raises within, or no end within so many seconds, as an error of ours."""
        try:
            async with asyncio.timeout(within_s):
                yield
        except TimeoutError as error:
            raise StoreAway(f"Neo4j at {self.where} did not answer within {within_s:g} s") from error
        except AuthError as error:
            raise StoreUnfit(
                f"Neo4j at {self.where} refuses the user or the password: set NEO4J_USER and NEO4J_PASSWORD"
            ) from error
        except Neo4jError as error:
            raise self._refusal(error) from error
        except ConfigurationError as error:
            raise StoreUnfit(f"Neo4j at {self.where} cannot be used as NEO4J_URI says: {error}") from error
        except (ServiceUnavailable, SessionExpired, DriverError, OSError) as error:
            raise StoreAway(f"Neo4j at {self.where} does not answer ({type(error).__name__})") from error

    def _refusal(self, error: Neo4jError) -> StoreAway | StoreUnfit:
        code = error.code or "no code"
        if error.is_retryable() or not code.startswith("Neo.ClientError."):
            return StoreAway(f"Neo4j at {self.where} does not work now ({code})")
        if code.endswith(".DatabaseNotFound"):
            return StoreUnfit(f"Neo4j at {self.where} has no such database: set NEO4J_DATABASE to one it has")
        return StoreUnfit(f"Neo4j at {self.where} refuses what it is asked ({code})")
