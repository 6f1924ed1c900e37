"""The types of the wire for the browser: `python -m server.typescript` writes them from the models.

What is written is committed, and a test compares it with the models.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from machines.step import CHARTS
from server.asyncapi import REQUESTS, description
from server.replies import PUSHED, REPLIES

FILE = Path(__file__).resolve().parent.parent / "web" / "src" / "lib" / "wire.gen.ts"

_HEAD = """\
/**
 * The messages of the websocket and the contexts of the charts, written by `python -m server.typescript`
 * from the server's models. Do not edit.
 */
"""
_SCHEMAS = "#/components/schemas/"
_PLAIN = {"string": "string", "number": "number", "integer": "number", "boolean": "boolean", "null": "null"}
_WORD = re.compile(r"^[A-Za-z_]\w*$")

Schema = dict[str, Any]


def declarations() -> str:
    """The whole file."""
    schemas: dict[str, Schema] = description("http://localhost")["components"]["schemas"]
    said = [model.__name__ for model in (REQUESTS | REPLIES | PUSHED).values()]
    contexts = [_name(schemas[f"context.{kind}"]) for kind in sorted(CHARTS)]
    # A context is always sent whole, so what has a default is there, too.
    whole = _reached(contexts, schemas)
    names = sorted(whole | _reached(said, schemas))
    blocks = [_declared(name, schemas[name], whole=name in whole) for name in names]
    unions = [
        _union("ClientMessage", [model.__name__ for model in REQUESTS.values()]),
        _union("ServerMessage", [model.__name__ for model in (REPLIES | PUSHED).values()]),
        _context_map(schemas),
    ]
    return "\n".join([_HEAD, *blocks, *unions])


def _reached(names: list[str], schemas: dict[str, Schema]) -> set[str]:
    """These schemas and all that they refer to."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += re.findall(rf"'{_SCHEMAS}([\w.\-]+)'", str(schemas[name]))
    return found


def _name(schema: Schema) -> str:
    return str(schema["$ref"]).removeprefix(_SCHEMAS)


def _declared(name: str, schema: Schema, *, whole: bool) -> str:
    if "properties" not in schema and schema.get("type") != "object":
        return f"{_comment(schema, '')}export type {name} = {_type(schema)};\n"
    required = set(schema.get("properties", {})) if whole else set(schema.get("required", ()))
    lines = [f"{_comment(schema, '')}export interface {name} {{"]
    for key, value in schema.get("properties", {}).items():
        written = key if _WORD.match(key) else f'"{key}"'
        lines.append(f"{_comment(value, '  ')}  {written}{'' if key in required else '?'}: {_type(value)};")
    return "\n".join([*lines, "}\n"])


def _type(schema: Schema) -> str:
    if "$ref" in schema:
        return _name(schema)
    if "const" in schema:
        return _literal(schema["const"])
    if "enum" in schema:
        return " | ".join(_literal(value) for value in schema["enum"])
    if "anyOf" in schema:
        return " | ".join(dict.fromkeys(_type(each) for each in schema["anyOf"]))
    match schema.get("type"):
        case "array":
            items = schema.get("items", {})
            if isinstance(items, list):
                return f"[{', '.join(_type(each) for each in items)}]"
            inner = _type(items)
            return f"({inner})[]" if " | " in inner else f"{inner}[]"
        case "object":
            values = schema.get("additionalProperties", True)
            return f"Record<string, {_type(values) if isinstance(values, dict) else 'unknown'}>"
        case str() as plain:
            return _PLAIN[plain]
    return "unknown"


def _literal(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value).lower()


def _comment(schema: Schema, indent: str) -> str:
    text = " ".join(str(schema.get("description", "")).split())
    return f"{indent}/** {text} */\n" if text else ""


def _union(name: str, members: list[str]) -> str:
    return f"export type {name} = {' | '.join(members)};\n"


def _context_map(schemas: dict[str, Schema]) -> str:
    lines = [f"  {kind}: {_name(schemas[f'context.{kind}'])};" for kind in sorted(CHARTS)]
    return "\n".join(["/** Chart → its context. */", "export interface Contexts {", *lines, "}\n"])


def main() -> None:
    """Write the file, or with `--check` tell by the status whether it is up to date."""
    wanted = declarations()
    if sys.argv[1:] == ["--check"]:
        sys.exit(0 if FILE.read_text(encoding="utf-8") == wanted else f"{FILE.name} is not up to date")
    if sys.argv[1:]:
        sys.exit("usage: python -m server.typescript [--check]")
    FILE.write_text(wanted, encoding="utf-8")


if __name__ == "__main__":
    main()
