"""One collection of a Qdrant server: how it is reached, what form it has, and what its errors mean.

A point is a chunk: its id, its vector, and the payload `{case, evidence}`. All searches are within one
case, so a graph over the whole collection would never be walked: `m` is 0, and Qdrant builds one for each
case that is large enough (`payload_m`), while a small case is compared as a whole. Vectors are kept on disk
in half precision, as PostgreSQL has them, and in memory in one byte a dimension; what those find first
is compared again by the vectors themselves.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit, urlunsplit

import httpx
from qdrant_client import AsyncQdrantClient, models
from qdrant_client.common.client_exceptions import QdrantException
from qdrant_client.http.exceptions import ApiException, ResponseHandlingException, UnexpectedResponse

from storage.follow import StoreAway, StoreUnfit
from storage.schema import DIMENSIONS

OLDEST = (1, 16)
"""The first release with everything that is used here."""

ANSWER_S = 15
LINKS = 16
CANDIDATES = 200
"""Of a walk through the graph of a case; as pgvector's `ef_search`."""
OVERSAMPLING = 2.0

SEARCH = models.SearchParams(
    hnsw_ef=CANDIDATES,
    quantization=models.QuantizationSearchParams(rescore=True, oversampling=OVERSAMPLING),
)


def client_of(url: str, api_key: str | None) -> AsyncQdrantClient:
    """A client for one event loop; asks nothing yet. Close it with `await client.close()`."""
    return AsyncQdrantClient(
        url=url,
        # Not as `api_key`, with which the client warns of every server inside a private network.
        headers={} if api_key is None else {"api-key": api_key},
        timeout=ANSWER_S,
        check_compatibility=False,
        limits=httpx.Limits(max_connections=16, keepalive_expiry=20),
    )


def collection_of(instance: str) -> str:
    """The collection of an instance: several may share a server."""
    return f"casewire_{instance}"


def shown(url: str) -> str:
    """A URL without what may stand before the host."""
    parts = urlsplit(url if "://" in url else f"http://{url}")
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


class QdrantPlace:
    """A collection.

    Args:
        where: The server, as people are told.
    """

    def __init__(
        self, client: AsyncQdrantClient, collection: str, where: str, *, dimensions: int = DIMENSIONS
    ) -> None:
        self.client = client
        self.collection = collection
        self.where = where
        self.dimensions = dimensions

    async def version(self) -> str:
        """Version of the server, once the collection has been seen to fit.

        Raises:
            StoreAway: It does not answer.
            StoreUnfit: It is too old, or the collection is missing or of another form.
        """
        async with self.asked():
            version = (await self.client.info()).version
        numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
        if numbers < OLDEST:
            raise StoreUnfit(
                f"Qdrant at {self.where} is version {version}, but {OLDEST[0]}.{OLDEST[1]} or newer is needed"
            )
        async with self.asked():
            if not await self.client.collection_exists(self.collection):
                raise StoreUnfit(
                    f"Qdrant at {self.where} has no collection {self.collection} (any more): "
                    "make it with `casewire rebuild vectors`"
                )
            vectors = (await self.client.get_collection(self.collection)).config.params.vectors
        if not isinstance(vectors, models.VectorParams) or vectors.size != self.dimensions:
            there = vectors.size if isinstance(vectors, models.VectorParams) else "several"
            raise StoreUnfit(
                f"the vectors in Qdrant at {self.where} have {there} dimensions, but {self.dimensions} are "
                "needed: make them anew with `casewire rebuild vectors`"
            )
        return version

    async def make(self) -> None:
        """Make the collection, empty, in place of one that is there.

        Raises:
            StoreAway, StoreUnfit: It may be missing.
        """
        async with self.asked():
            if await self.client.collection_exists(self.collection):
                await self.client.delete_collection(self.collection)
            await self.client.create_collection(
                self.collection,
                vectors_config=models.VectorParams(
                    size=self.dimensions,
                    distance=models.Distance.COSINE,
                    datatype=models.Datatype.FLOAT16,
                    on_disk=True,
                ),
                hnsw_config=models.HnswConfigDiff(m=0, payload_m=LINKS),
                quantization_config=models.ScalarQuantization(
                    scalar=models.ScalarQuantizationConfig(
                        type=models.ScalarType.INT8, quantile=0.99, always_ram=True
                    )
                ),
            )
            await self.client.create_payload_index(
                self.collection,
                "case",
                models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD, is_tenant=True),
            )
            await self.client.create_payload_index(
                self.collection,
                "evidence",
                models.IntegerIndexParams(
                    type=models.IntegerIndexType.INTEGER, lookup=True, range=False, enable_hnsw=False
                ),
            )

    @asynccontextmanager
    async def asked(self) -> AsyncIterator[None]:
        """Whatever the client raises within, as one of the errors of `storage.follow`."""
        try:
            yield
        except ResponseHandlingException as error:
            if isinstance(error.source, httpx.HTTPError):
                raise StoreAway(
                    f"Qdrant at {self.where} does not answer ({type(error.source).__name__})"
                ) from error
            raise StoreUnfit(f"what answers at {self.where} does not speak as Qdrant does") from error
        except UnexpectedResponse as error:
            raise self._refusal(error) from error
        except (ApiException, QdrantException) as error:  # it has too much to do
            raise StoreAway(f"Qdrant at {self.where} takes nothing now ({type(error).__name__})") from error

    def _refusal(self, error: UnexpectedResponse) -> StoreAway | StoreUnfit:
        status = error.status_code or 0
        if status >= 500 or status in (408, 429):
            return StoreAway(f"Qdrant at {self.where} does not work now (it answers {status})")
        if status in (401, 403):
            return StoreUnfit(
                f"Qdrant at {self.where} refuses the key: set QDRANT_API_KEY to one that may write"
            )
        if status == 404:
            return StoreUnfit(
                f"Qdrant at {self.where} has no collection {self.collection} (any more): "
                "make it with `casewire rebuild vectors`"
            )
        return StoreUnfit(
            f"Qdrant at {self.where} refuses what it is asked ({status}): if its collection was made for "
            "another model, make it anew with `casewire rebuild vectors`"
        )
