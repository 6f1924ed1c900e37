"""Log lines: one form for all, with the trace, and without the text of exceptions that quote."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

PROGRAM = """
import asyncio, logging, structlog, sys
from pydantic import BaseModel, ValidationError
from server.logs import configure_logging
from storage import trace

class Question(BaseModel):
    text: int

configure_logging("debug", sys.argv[1])
logger = logging.getLogger("server.test")
trace.current.set("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
with structlog.contextvars.bound_contextvars(machine="query-0-a", effect="query-0-a:1:0"):
    try:
        try:
            Question(text="the secret of the case")
        except ValidationError as error:
            raise ValueError("quoting the secret of the case") from error
    except ValueError:
        logger.exception("A handler failed.", extra={"action": "test.failed"})
    try:
        gone = ConnectionError("Redis went away")
        raise ExceptionGroup("the secret of the case", [gone, KeyError("the secret")])
    except ExceptionGroup as error:
        logger.error("A part failed.", exc_info=error)
for name in ("websockets.server", "uvicorn.error", "rq.worker", "sqlalchemy.engine", "statemachine.x"):
    logging.getLogger(name).debug("the secret of the case")
"""


@pytest.mark.parametrize("form", ["json", "console"])
def test_exceptions_are_told_by_type_and_place_and_by_text_only_where_it_quotes_nobody(form: str) -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM, form], capture_output=True, text=True, check=True)
    assert "secret" not in done.stderr
    for told in ("pydantic_core", "ValidationError", "ValueError", "which led to", "KeyError", "<string>"):
        assert told in done.stderr
    assert "Redis went away" in done.stderr


def test_a_line_tells_its_trace_machine_and_effect() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM, "json"], capture_output=True, text=True, check=True)
    first, second = (json.loads(line) for line in done.stderr.splitlines())
    assert first["event"] == "A handler failed."
    for told in (first, second):
        assert (told["level"], told["logger"]) == ("error", "server.test")
        assert told["trace_id"] == "0af7651916cd43dd8448eb211c80319c"
        assert (told["machine"], told["effect"]) == ("query-0-a", "query-0-a:1:0")
    assert first["action"] == "test.failed"
