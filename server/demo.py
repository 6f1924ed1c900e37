"""The main job, performed for an onlooker through the same wire that a browser uses."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import socket
import sys
import time
from asyncio.subprocess import Process
from pathlib import Path
from typing import Any

import httpx

from server import demo_case
from server.cli_wire import CommandFailed
from server.client import Client, Message
from server.settings import Settings

EMAIL = "demo@casewire.example"
STARTUP_S = 90.0
ENDED = ("ready", "failed", "duplicate", "cancelled", "locked")


class DemoFailed(CommandFailed):
    """A step did not turn out as it must; the message says which."""


def say(text: str = "") -> None:
    """Print a line at once."""
    print(text, flush=True)


async def demo(settings: Settings) -> None:
    """Serve, perform, and go on serving on a terminal.

    Raises:
        DemoFailed: Something was not as it must be.
    """
    keep = sys.stdout.isatty() and os.environ.get("DEMO_EXIT") != "1"
    began = time.monotonic()
    port = _free_port(settings.host, settings.port)
    url = f"http://{settings.host}:{port}"
    say(f"Casewire demo: starting everything in {settings.data_dir} …")
    server = await _serve(settings, port)
    try:
        await _until_healthy(url, server)
        say(f"serving on {url} after {time.monotonic() - began:.1f} s")
        await _perform(url, settings.data_dir, began)
        if keep:
            await _keep_serving(url, settings.data_dir, server)
    finally:
        await _stop(server)


async def _serve(settings: Settings, port: int) -> Process:
    environment = os.environ | {"CASEWIRE_PORT": str(port), "CASEWIRE_LOG_LEVEL": "warning"}
    return await asyncio.create_subprocess_exec(sys.executable, "-m", "server.cli", "serve", env=environment)


def _free_port(host: str, wanted: int) -> int:
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise DemoFailed(f"no free port on {host}; set CASEWIRE_HOST to an address of this machine")


async def _until_healthy(url: str, server: Process) -> None:
    deadline = time.monotonic() + STARTUP_S
    async with httpx.AsyncClient() as http:
        while time.monotonic() < deadline:
            if server.returncode is not None:
                raise DemoFailed(f"the server ended with status {server.returncode}; its reason is above")
            try:
                if (await http.get(f"{url}/healthz")).status_code == 200:
                    return
            except httpx.TransportError:
                await asyncio.sleep(0.1)
    raise DemoFailed(f"the server did not answer within {STARTUP_S:.0f} s")


async def _stop(server: Process) -> None:
    if server.returncode is None:
        server.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(30):
                await server.wait()
        except TimeoutError:
            server.kill()
            await server.wait()


def _account(data: Path) -> tuple[Path, str]:
    path = data / "demo-account.json"
    if path.exists():
        return path, str(json.loads(path.read_text(encoding="utf-8"))["password"])
    password = secrets.token_urlsafe(12)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump({"email": EMAIL, "password": password}, file)
    return path, password


async def _perform(url: str, data: Path, began: float) -> None:
    path, password = _account(data)
    async with Client(url) as client, Client(url) as second_page:
        known = path.with_suffix(".registered")
        if known.exists():
            await client.login(EMAIL, password)
        else:
            await client.register(EMAIL, "Demo Investigator", password)
            known.touch()
        await second_page.login(EMAIL, password)
        await client.connect()
        await client.subscribe(f"user:{client.user['id']}")
        case = await _open_case(client)
        await second_page.connect()
        await second_page.subscribe(f"case:{case}")
        _narrate(client)
        await _upload(client, case)
        await _ask_joined(client, second_page, case, began)
        await _ask_others(client, case)
        await client.wait_for(lambda: _toasts(client), 20)
        say(f"\ntoasts: {len(_toasts(client))} delivered, kept until read")
        await _report_memory(client)
        say("\nAll of it went through the public wire. Nothing was wrong.")


def _narrate(client: Client) -> None:
    names: dict[str, str] = {}

    def listen(message: Message) -> None:
        if message["type"] != "entry" or message["kind"] not in ("upload", "query"):
            return
        context = message["context"]
        machine = str(message["machine"])
        names[machine] = str(
            context.get("filename") or context.get("question") or names.get(machine, machine)
        )
        before, after = set(message["from"]), set(message["to"])
        moved = " ".join(state for state in message["to"] if state not in before)
        if moved and before and before != after:
            say(f"  {names[machine][:44]:<44} {message['event']:<14} → {moved}")

    client.listeners.append(listen)


async def _open_case(client: Client) -> str:
    case = await client.request(
        "POST", "/api/cases", {"title": demo_case.TITLE, "description": demo_case.DESCRIPTION}
    )
    for name, aliases in demo_case.POIS:
        await client.request(
            "POST", f"/api/cases/{case['id']}/pois", {"name": name, "aliases": list(aliases)}
        )
    await client.subscribe(f"case:{case['id']}")
    say(f"opened the case “{demo_case.TITLE}” with {len(demo_case.POIS)} persons of interest")
    return str(case["id"])


async def _upload(client: Client, case: str) -> None:
    files = list(demo_case.documents())
    say(f"\nuploading {len(files)} files; every transition as it happens:")
    began = time.monotonic()
    for file in files:
        await client.upload(case, file.filename, file.content, len(file.content))

    def ended() -> bool:
        machines = _of_kind(client, case, "upload")
        return len(machines) >= len(files) and all(set(m["configuration"]) & set(ENDED) for m in machines)

    await client.wait_for(ended, 300)
    bad = [
        f"{m['context']['filename']}: {m['context']['reason']}"
        for m in _of_kind(client, case, "upload")
        if "ready" not in m["configuration"]
    ]
    if bad:
        raise DemoFailed("not every file became ready: " + "; ".join(bad))
    count = len(_of_kind(client, case, "upload"))
    say(f"{count} files ready (attachments included) after {time.monotonic() - began:.1f} s")


def _of_kind(client: Client, case: str, kind: str) -> list[Message]:
    return [m for m in client.topics[f"case:{case}"].machines.values() if m["kind"] == kind]


def _toasts(client: Client) -> list[Message]:
    topic = client.topics[f"user:{client.user['id']}"]
    return [m for m in topic.machines.values() if m["kind"] == "notification"]


async def _ask(client: Client, case: str, question: str) -> Message:
    machine = (await client.spawn("query", f"case:{case}", {"question": question}))["machine"]

    def done() -> Any:
        query = client.machine(machine)
        return query if query and {"answered", "failed"} & set(query["configuration"]) else None

    query: Message = await client.wait_for(done, 120)
    if "failed" in query["configuration"]:
        raise DemoFailed(f"“{question}” failed: {query['context']['reason']}")
    return query


def _print_answer(query: Message) -> None:
    answer = query["context"]["answer"]
    if not answer["supported"]:
        say(f"  no answer: {answer['text']}")
        return
    for claim in answer["claims"]:
        sources = ", ".join(
            f"{c['title']}" + (f" p. {c['page']}" if c["page"] else "") + f" [{c['start']}–{c['end']}]"
            for c in claim["citations"]
        )
        say(f"  “{claim['text']}”\n      — {sources}")


def _titles(query: Message, nodes: list[int]) -> list[str]:
    return [
        query["context"]["hits"][str(node)]["title"]
        for node in nodes
        if str(node) in query["context"]["hits"]
    ]


async def _ask_joined(client: Client, second_page: Client, case: str, began: float) -> None:
    evidence = await client.request("GET", f"/api/cases/{case}/evidence?limit=200")
    joining = next(e for e in evidence if e["filename"] == demo_case.JOINING_DOCUMENT)
    say(f"\nasking: {demo_case.JOINED_QUESTION}")
    query = await _ask(client, case, demo_case.JOINED_QUESTION)
    say(f"first cited answer {time.monotonic() - began:.1f} s after the start")
    _print_answer(query)
    context = query["context"]
    chunks = await client.request("GET", f"/api/evidence/{joining['id']}/chunks")
    wanted = {chunk["id"] for chunk in chunks}
    say(f"\nwhere the document that joins them, {demo_case.JOINING_DOCUMENT}, stands:")
    ranks = {leg: _rank([f["node"] for f in found], wanted) for leg, found in context["legs"].items()}
    for leg, rank in ranks.items():
        say(f"  by {leg:<8} {rank or 'not found'}")
    whole = _rank([place["node"] for place in context["order"]], wanted)
    say(f"  the whole   {whole}")
    if whole is None or whole > 3:
        raise DemoFailed("the ranking did not bring the joining document among the first three")
    if any(rank is not None and rank <= 3 for rank in ranks.values()):
        raise DemoFailed("a leg alone found the joining document; the demo's point is lost")
    if demo_case.JOINED_ANSWER not in json.dumps(context):
        raise DemoFailed(f"“{demo_case.JOINED_ANSWER}” is in no hit")
    hit = next(context["hits"][str(p["node"])] for p in context["order"] if p["node"] in wanted)
    say("  because: " + "; ".join(f"{s['source']} —{s['kind']}→ {s['target']}" for s in hit["path"]))
    await _vote(client, second_page, query)


def _rank(nodes: list[int], wanted: set[int]) -> int | None:
    return next((i for i, node in enumerate(nodes, 1) if node in wanted), None)


async def _vote(client: Client, second_page: Client, query: Message) -> None:
    machine = query["machine"]
    await second_page.wait_for(lambda: second_page.machine(machine), 20)

    def order(page: Client) -> list[int]:
        known = page.machine(machine)
        return [place["node"] for place in known["context"]["order"]] if known else []

    before = order(client)
    chosen = before[min(4, len(before) - 1)]
    say("\nfeedback: order before  " + " | ".join(_titles(query, before[:5])))
    sent = time.perf_counter()
    await client.send(machine, "vote", {"node": chosen, "value": 1})
    await second_page.wait_for(lambda: order(second_page) and order(second_page) != before, 20)
    took_ms = (time.perf_counter() - sent) * 1000
    after = order(second_page)
    fresh = second_page.machine(machine) or query
    say(f"+1 on “{_titles(query, [chosen])[0]}” → " + " | ".join(_titles(fresh, after[:5])))
    say(f"  seen on a second open page {took_ms:.0f} ms after the vote")
    if after.index(chosen) >= before.index(chosen):
        raise DemoFailed("a +1 did not raise the hit")
    await client.send(machine, "vote", {"node": chosen, "value": 0})
    await second_page.wait_for(lambda: order(second_page) == before, 20)
    say("undone → the order is exactly the one before")


async def _ask_others(client: Client, case: str) -> None:
    for question in demo_case.QUESTIONS[1:]:
        say(f"\nasking: {question}")
        query = await _ask(client, case, question)
        _print_answer(query)
        if not query["context"]["answer"]["supported"]:
            raise DemoFailed(f"the evidence answers “{question}”, but the answer says it does not")
    say(f"\nasking: {demo_case.UNANSWERABLE}")
    query = await _ask(client, case, demo_case.UNANSWERABLE)
    _print_answer(query)
    if query["context"]["answer"]["supported"]:
        raise DemoFailed("a question that the evidence does not answer was answered")


async def _report_memory(client: Client) -> None:
    status = await client.request("GET", "/api/status")
    sizes = {"the server": status["server"]["rss_bytes"]}
    sizes |= {f"the worker of the queue {w['queue']}": w["rss_bytes"] for w in status["workers"]}
    for name, size in sizes.items():
        say(f"resident memory of {name}: {size / 2**20:.0f} MiB")


async def _keep_serving(url: str, data: Path, server: Process) -> None:
    _, password = _account(data)
    say(f"\nOpen {url} and log in as {EMAIL} with the password {password}\nCtrl-C ends it.")
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, stop.set)
    waiting = asyncio.create_task(stop.wait())
    ended = asyncio.create_task(server.wait())
    await asyncio.wait({waiting, ended}, return_when=asyncio.FIRST_COMPLETED)
    for task in (waiting, ended):
        task.cancel()
