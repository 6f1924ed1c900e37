"""What whoever asks for evidence that is not there is told."""

from __future__ import annotations


class UnknownEvidence(Exception):
    """There is no such evidence (any more)."""

    def __init__(self, evidence: int) -> None:
        super().__init__("the evidence does not exist any more")
        self.evidence = evidence
