"""Who may open a piece of evidence: members of its case; while it is removed, those who can restore it.

To everybody else it is as if it did not exist.
"""

from __future__ import annotations

from starlette.requests import Request

from machines.event import Role, at_least
from server.auth import Visitor, require_role, require_visitor
from server.bodies import number
from server.parts import parts_of
from storage.evidence import EvidenceRow, UnknownEvidence

RESTORES: Role = "editor"
"""Least role that can bring removed evidence back, and so may know of it meanwhile."""


async def evidence_of(request: Request, needed: Role = "viewer") -> tuple[Visitor, EvidenceRow]:
    """Who asks, with at least a role in its case, and for which evidence; the path names it.

    Raises:
        Unauthenticated, Denied: As `require_role`.
        UnknownEvidence: There is none of that number, or none that the visitor may know of.
    """
    await require_visitor(request)
    row = await parts_of(request).evidence.get(number(request, "evidence"))
    hidden = row.hidden_at is not None
    return await require_sight(request, row.id, row.case_id, hidden=hidden, needed=needed), row


async def require_sight(
    request: Request, evidence: int, case: str, *, hidden: bool, needed: Role = "viewer"
) -> Visitor:
    """Who asks, if they may know of the evidence and hold at least a role in its case.

    Raises:
        Unauthenticated, Denied, UnknownEvidence: As `evidence_of`.
    """
    visitor = await require_visitor(request)
    role = await parts_of(request).rights.role_for(visitor, f"case:{case}")
    if role is None or (hidden and not sees_removed(role)):
        raise UnknownEvidence(evidence)
    await require_role(request, f"case:{case}", needed, "evidence")
    return visitor


def sees_removed(role: Role | None) -> bool:
    """Whether whoever holds a role in a case may know what of it is removed."""
    return at_least(role, RESTORES)
