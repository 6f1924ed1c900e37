"""What an upload knows of its file."""

from __future__ import annotations

from machines.work import WorkContext


class UploadContext(WorkContext):
    """What is known of the file so far."""

    filename: str = ""
    bytes: int = 0
    received: int = 0
    sha256: str = ""
    parent: int = 0
    owner: str = ""
    evidence: int = 0
    media_type: str = ""
    title: str = ""
    pages: int = 0
    characters: int = 0
    chunks: int = 0
    children: int = 0
    entities: int = 0
    tags: list[str] = []
    secret: str = ""
    retryable: bool = False
    parts: str = ""
    """Where the bytes lie until they are in the blob store."""
    ocr_pages: int = 0
    notice: str = ""
    """What the user should know of the reading."""
    unread: str = ""
    """What a language model could not read."""
    rested: str = ""
    """The state in which it was removed, to which `restore` leads back."""
    grace_until: float = 0.0
    """Unix time at which removed evidence is gone for good."""
    removed_by: str = ""
    why: str = ""
    """The reason that was given for removing it."""
