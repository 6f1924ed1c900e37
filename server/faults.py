"""How each family of errors goes over the wire.

The families of `server.errors`, `machines.errors`, `storage` and the engine stand in one table,
`ANSWERS`; whatever is not in it is a fault of the server.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from redis import exceptions as redis_errors
from sqlalchemy import exc as database_errors
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from handlers.job import Temporary
from handlers.page_pictures import NoPicture
from handlers.paper import PaperError
from machines import errors as chart_errors
from server.engine import Busy, EngineError, MachineMissing
from server.errors import (
    Clash,
    Corrupt,
    Denied,
    Full,
    Gone,
    Invalid,
    Locked,
    Malformed,
    Missing,
    ServerError,
    TooLarge,
    TooMany,
    Unauthenticated,
    WrongMedia,
    WrongVersion,
)
from server.webhooks_hosts import TargetRefused
from storage.blobs import BlobDamaged, BlobMissing, BlobsUnavailable
from storage.cases import LastOwner, NotAMember, UnknownPerson
from storage.edits import EditedMeanwhile, UnknownVersion
from storage.evidence import UnknownEvidence
from storage.follow import StoreBesideError
from storage.imports import UnknownImport
from storage.judgements import UnknownEntity
from storage.machine_search import TooWide
from storage.machine_store import StoreError
from storage.outage import is_outage
from storage.parts import NoRoom
from storage.people import EmailTaken, RegistrationClosed
from storage.pois import UnknownPoi
from storage.request_keys import KeyReused
from storage.same_as import AlreadyJudged, SomebodyElse, UnknownVerdict
from storage.tokens import TooManyTokens, UnknownToken
from storage.transfers import OverQuota, UnfitPieces, UnknownTransfer
from storage.votes import NotInCase
from storage.webhook_deliveries import UnknownLetter
from storage.webhooks import TooManyWebhooks, UnknownWebhook

CHECKSUM_MISMATCH = 460
"""A status of the tus protocol."""


def phrase_of(status: int) -> str:
    """A status in words."""
    return "Checksum Mismatch" if status == CHECKSUM_MISMATCH else HTTPStatus(status).phrase


@dataclass(frozen=True)
class Answer:
    """How a family is told: HTTP status, whether the same request may succeed later, code.

    Without a `code` the exception carries one; without a `detail` its own text is for people.
    """

    status: int
    temporary: bool = False
    code: str = ""
    detail: str = ""


_DOWN = Answer(
    503,
    temporary=True,
    code="service.unavailable",
    detail="a service that this needs does not answer; try again",
)

# Evidence and entities are asked for by number alone: what is not there and what belongs to somebody
# else's case must sound the same, so both have the code of `Missing`.
ANSWERS: Mapping[type[Exception], Answer] = {
    Unauthenticated: Answer(401),
    Denied: Answer(403),
    Missing: Answer(404),
    Invalid: Answer(422),
    TooLarge: Answer(413),
    Malformed: Answer(400),
    WrongVersion: Answer(412),
    WrongMedia: Answer(415),
    Corrupt: Answer(CHECKSUM_MISMATCH),
    Gone: Answer(410),
    Locked: Answer(423, temporary=True),
    Full: Answer(507, temporary=True),
    NoRoom: Answer(507, temporary=True, code=Full.code),
    OverQuota: Answer(413, code="upload.over_quota"),
    UnknownTransfer: Answer(404, code=Missing.code),
    UnfitPieces: Answer(409, code="upload.unfit_parts"),
    Clash: Answer(409),
    TooMany: Answer(429, temporary=True),
    chart_errors.StepError: Answer(422),
    chart_errors.UnknownKind: Answer(404),
    # Not temporary: it takes another release, for which no client should wait and try.
    chart_errors.WrongChart: Answer(
        409,
        detail="this machine was begun under another definition of its chart, which this release cannot "
        "continue; it waits unchanged for a release that can",
    ),
    chart_errors.BrokenSnapshot: Answer(500),
    chart_errors.UnknownEvent: Answer(422),
    chart_errors.BadPayload: Answer(422),
    chart_errors.Forbidden: Answer(403),
    chart_errors.NotAllowed: Answer(409),
    chart_errors.Stale: Answer(409),
    EngineError: Answer(409),
    MachineMissing: Answer(404, code=Missing.code, detail="there is no such machine"),
    Busy: Answer(503, temporary=True),
    StoreError: _DOWN,
    redis_errors.ConnectionError: _DOWN,
    redis_errors.TimeoutError: _DOWN,
    redis_errors.RedisClusterException: _DOWN,
    database_errors.OperationalError: _DOWN,
    database_errors.InterfaceError: _DOWN,
    database_errors.TimeoutError: _DOWN,
    ConnectionError: _DOWN,
    EmailTaken: Answer(409, code="account.taken"),
    RegistrationClosed: Answer(403, code="account.closed"),
    UnknownPerson: Answer(404, code="person.unknown"),
    NotAMember: Answer(404, code="member.unknown"),
    LastOwner: Answer(409, code="member.last_owner"),
    UnknownToken: Answer(404, code=Missing.code),
    TooManyTokens: Answer(409, code="token.too_many"),
    KeyReused: Answer(409, code="idempotency.reused"),
    UnknownPoi: Answer(404, code="poi.unknown"),
    UnknownEntity: Answer(404, code=Missing.code),
    UnknownVerdict: Answer(404, code=Missing.code),
    AlreadyJudged: Answer(409, code="names.judged"),
    SomebodyElse: Answer(409, code="names.somebody_else"),
    NotInCase: Answer(404, code="node.unknown", detail="the case has no such node"),
    UnknownEvidence: Answer(404, code=Missing.code, detail="there is no such evidence"),
    EditedMeanwhile: Answer(409, code="edit.superseded"),
    UnknownVersion: Answer(404, code="edit.unknown"),
    UnknownImport: Answer(404, code=Missing.code),
    NoPicture: Answer(404, code="picture.none"),
    Temporary: Answer(503, temporary=True, code="service.unavailable"),
    UnknownWebhook: Answer(404, code=Missing.code),
    UnknownLetter: Answer(404, code=Missing.code),
    TooManyWebhooks: Answer(409, code="webhook.too_many"),
    TargetRefused: Answer(403, code="webhook.target"),
    TooWide: Answer(422, code="search.too_wide"),
    ClientDisconnect: Answer(400, code="client.gone", detail="the connection ended"),
    BlobDamaged: Answer(
        410,
        code="content.damaged",
        detail="the stored bytes of this file were changed after they had been received and are not shown; "
        "restore them from a backup, or upload the file again",
    ),
    BlobsUnavailable: _DOWN,
    StoreBesideError: Answer(503, temporary=True, code="service.unavailable"),
    PaperError: Answer(503, temporary=True, code="report.unmade"),
    BlobMissing: Answer(410, code="content.missing", detail="the file's content is not there any more"),
}


SPECIAL: Mapping[type[ServerError], tuple[str, ...]] = {
    Unauthenticated: ("auth.failed", "token.invalid"),
    Denied: (
        "access.ended",
        "admin.needed",
        "csrf.wrong",
        "login.needed",
        "origin.forbidden",
        "role.too_small",
        "scope.too_small",
        "upload.final",
        "webhook.ended",
    ),
    Invalid: (
        "batch.invalid",
        "frame.invalid",
        "frame.not_json",
        "frame.not_text",
        "position.invalid",
        "subprotocol.missing",
        "topic.too_many",
        "upload.empty",
        "upload.mismatch",
    ),
    TooLarge: ("frame.too_large", "upload.too_large"),
    Clash: (
        "case.leaving",
        "import.over",
        "import.paused",
        "sources.none",
        "upload.busy",
        "upload.complete",
        "upload.incomplete",
        "upload.not_receiving",
        "upload.offset",
        "upload.other_file",
    ),
}
"""Codes that are given where an error is raised, by its family."""


def codes() -> dict[int, list[str]]:
    """Every code that the server answers with, by HTTP status, sorted."""
    found: dict[int, set[str]] = {}
    for family, answer in ANSWERS.items():
        for error in _with_descendants(family):
            nearest = next(one for one in error.__mro__ if one in ANSWERS)
            code = answer.code or str(getattr(error, "code", ""))
            if nearest is family and code:
                found.setdefault(answer.status, set()).add(code)
    for refusal, special in SPECIAL.items():
        found.setdefault(ANSWERS[refusal].status, set()).update(special)
    return {status: sorted(some) for status, some in sorted(found.items())}


def _with_descendants(family: type[Exception]) -> set[type[Exception]]:
    return {family} | {below for direct in family.__subclasses__() for below in _with_descendants(direct)}


@dataclass(frozen=True)
class Fault:
    """One error as it goes over the wire.

    Attributes:
        allowed: Events that the machine's state does allow; None where that says nothing.
        headers: For HTTP only.
        current: What stands there now, where a request was about something earlier.
        expected: False for a fault of the server, which belongs in its log.
    """

    status: int
    code: str
    detail: str
    temporary: bool
    allowed: tuple[str, ...] | None = None
    headers: Mapping[str, str] | None = None
    expected: bool = True
    current: Mapping[str, Any] | None = None

    @property
    def title(self) -> str:
        """The status in words."""
        return phrase_of(self.status)


def fault_of(error: Exception) -> Fault:
    """The wire form of any exception, from the nearest family in `ANSWERS`."""
    if isinstance(error, HTTPException):
        phrase = HTTPStatus(error.status_code).phrase
        code = "http." + phrase.lower().replace(" ", "_")
        detail = error.detail or phrase
        return Fault(error.status_code, code, detail, error.status_code == 503, None, error.headers)
    answer = next((ANSWERS[family] for family in type(error).__mro__ if family in ANSWERS), None)
    if answer is None and is_outage(error):
        answer = _DOWN
    if answer is None:
        return Fault(500, "internal", "the server failed; its log says why", temporary=False, expected=False)
    return Fault(
        answer.status,
        answer.code or str(getattr(error, "code", "refused")),
        answer.detail or str(error),
        answer.temporary,
        error.allowed if isinstance(error, chart_errors.StepError) and error.states else None,
        _headers(error),
        expected=answer.status < 500,
        current={"version": error.current, "value": error.value}
        if isinstance(error, EditedMeanwhile)
        else None,
    )


def _headers(error: Exception) -> dict[str, str] | None:
    if isinstance(error, TooMany):
        return {"Retry-After": str(error.retry_after_s)}
    if isinstance(error, WrongVersion):
        return {"Tus-Version": "1.0.0"}
    if isinstance(error, Locked):
        return {"Retry-After": "1"}
    # RFC 9110 asks for it; a browser that meets this scheme opens no dialog.
    return {"WWW-Authenticate": "Bearer"} if isinstance(error, Unauthenticated) else None
