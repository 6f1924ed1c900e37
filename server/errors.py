"""What can go wrong, grouped by what the catcher can do.

ServerError
├── Unauthenticated    log in
├── Denied             ask for a right: role, CSRF token, origin
├── Missing            ask for something else
├── Invalid            fix the request
│   ├── TooLarge
│   ├── Malformed      … its headers
│   ├── WrongVersion   … the version of the protocol it speaks
│   ├── WrongMedia     … its content type
│   └── Corrupt        … its body, which is not what was announced
├── Clash              look again, then decide
├── Gone               begin anew
├── Locked             wait until another one has let go
├── Full               wait until somebody has made room
└── TooMany            wait `retry_after_s`

How each goes over the wire is in `server.faults`. `Closing` ends a websocket with a code.
"""

from __future__ import annotations

from enum import IntEnum

from pydantic import ValidationError


class Close(IntEnum):
    """Close codes of a websocket: 3000–3499 mean reconnect with jitter, 3500 and up mean stop."""

    SHUTDOWN = 3000
    SLOW = 3001
    INSUFFICIENT = 3002
    """The stream cannot be continued on this socket; a new one starts from a snapshot."""
    NO_PONG = 3003
    UNAUTHENTICATED = 3500
    BAD_FRAMES = 3501
    FORBIDDEN_ORIGIN = 3502
    FLOOD = 3503
    TOO_MANY_SOCKETS = 3504


class Closing(Exception):
    """The websocket is to be closed with `code`."""

    def __init__(self, code: Close) -> None:
        super().__init__(code.name)
        self.code = code


class ServerError(Exception):
    """A refusal that the server itself decides; `code` is stable, the message is for people."""

    code = "server.refused"

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        self.code = code or type(self).code


class Unauthenticated(ServerError):
    """Nobody is logged in, or the login does not fit."""

    code = "auth.required"


class Denied(ServerError):
    """Somebody is logged in who may not do this."""

    code = "access.denied"


class Missing(ServerError):
    """There is no such thing, or none that this user may see."""

    code = "not_found"


class Invalid(ServerError):
    """The request itself is wrong."""

    code = "request.invalid"

    @classmethod
    def of(cls, error: ValidationError) -> Invalid:
        """The faults of a request by field; never the values, which may be secret."""
        faults = error.errors(include_url=False, include_context=False, include_input=False)[:5]
        return cls("; ".join(f"{'.'.join(map(str, f['loc'])) or 'request'}: {f['msg']}" for f in faults))


class TooLarge(Invalid):
    """More bytes than are accepted."""

    code = "request.too_large"


class Malformed(Invalid):
    """A header is missing, or does not say what it should."""

    code = "request.header"


class WrongVersion(Invalid):
    """The request is of another version of a protocol, or does not tell its version."""

    code = "tus.version"


class WrongMedia(Invalid):
    """The body is declared as something else than what is taken here."""

    code = "request.media_type"


class Corrupt(Invalid):
    """The body does not have the checksum that was sent with it."""

    code = "tus.checksum"


class Gone(ServerError):
    """It was there, and has ended for good."""

    code = "upload.gone"


class Locked(ServerError):
    """Somebody else is at it, and has been asked to let go."""

    code = "upload.locked"


class Full(ServerError):
    """The disk has no room for it."""

    code = "storage.full"


class Clash(ServerError):
    """It does not fit what is there now."""

    code = "request.conflict"


class TooMany(ServerError):
    """Too many failures; the next try counts after `retry_after_s` seconds."""

    code = "rate.limited"

    def __init__(self, message: str, *, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
