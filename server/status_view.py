"""What the status page is told, by type; `server.status` gathers it."""

from __future__ import annotations

from typing_extensions import TypedDict

from storage.backlog import Backlog
from storage.runtime_records import ServerState, WorkerState


class ProcessView(TypedDict):
    """The process that answers, and its resident memory."""

    pid: int
    rss_bytes: int


class Health(TypedDict):
    """That this process answers."""

    ok: bool


class ServiceView(TypedDict):
    """What one service answered; `where` never holds a password, `advice` is about what works."""

    name: str
    embedded: bool
    where: str
    version: str
    latency_ms: float | None
    memory_bytes: int | None
    problem: str | None
    advice: str | None
    ok: bool


class PressureView(TypedDict):
    """How short the instance is, of each from 0 to 1, and what that does.

    `measured_at` is in Unix seconds, 0 where nobody has measured lately.
    """

    memory: float
    redis: float
    queues: float
    loop: float
    measured_at: float
    meaning: str


class GivenUp(TypedDict):
    """An effect that could not be done; `at` is in Unix seconds."""

    effect_id: str
    name: str
    machine: str
    topic: str
    reason: str
    at: float


class HeldView(TypedDict):
    """Machines of one definition that wait for a migration to this release."""

    kind: str
    version: int
    chart_hash: str
    machines: int
    meaning: str


class FollowerView(TypedDict):
    """A store that follows PostgreSQL.

    It is `following` once it has held everything; in the other phases it is being filled. `waiting` changes
    have yet to reach it, the oldest of them for `behind_s` seconds.
    """

    name: str
    store: str
    version: str
    phase: str
    filled_percent: int
    waiting: int
    behind_s: float
    problem: str | None


class EmbedderView(TypedDict):
    """What turns text into vectors, and what is wrong with it.

    `dimensions` is 0 while no vector was made. `lookups` counts vectors of questions and sentences by
    whence they came: `memory` and `redis` are caches, `made` were computed.
    """

    name: str
    dimensions: int
    where: str
    local: bool
    lookups: dict[str, int]
    problem: str | None


class LanguageModelView(TypedDict):
    """What writes answers; without a model they are extracted from the evidence."""

    name: str
    mode: str
    where: str
    local: bool
    problem: str | None


class DataView(TypedDict):
    """The data folder."""

    folder: str
    free_bytes: int


class StatusView(TypedDict):
    """What runs where; `well` is true when `problems`, one sentence each, is empty.

    `sandbox` tells what guards the processes that read files, for `network`, `files` and `processes` each.
    `watching` says where metrics, traces and logs are; `backlog` is null while Redis does not answer.
    `given_up` is empty, and workers name no effect and no machine, for all but administrators.
    """

    well: bool
    problems: list[str]
    version: str
    services: list[ServiceView]
    backends: dict[str, str]
    followers: list[FollowerView]
    queues: dict[str, int]
    servers: list[ServerState]
    workers: list[WorkerState]
    counts: dict[str, int]
    pressure: PressureView
    given_up: list[GivenUp]
    backlog: Backlog | None
    held: list[HeldView]
    watching: dict[str, str]
    sandbox: dict[str, list[str]]
    embedder: EmbedderView
    language_model: LanguageModelView
    data: DataView
    server: ProcessView
