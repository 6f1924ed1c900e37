"""What a model server must evaluate of each prompt of a conversation: our order against order of arrival.

`python -m tests.bench.bench_prompts [turns [num_ctx]] [ollama | llamacpp]`. Both conversations hold the
same sections: rules, case, the turns before, passages and question. Ours puts what stays the same in front;
the other one joins them as they came to be known: question, passages, turns, case, rules. With a name a
real server is started, with a small model that is made; else the server is the one that TEST_OPENAI_URL and
TEST_OPENAI_MODEL, or TEST_OLLAMA_HOST and TEST_OLLAMA_MODEL, name. Its own counts are printed: prompt less
cached, as it answers or, where it does not (Ollama before 0.33), as its log in TEST_OLLAMA_LOG tells;
without either the seconds alone. Each order has a thread of its own after a prompt that has nothing in
common with it, and is asked twice, in turns. A server with slots is asked once more with another
conversation of the case in between, pinned and not. Without a server: bytes and MiniLM tokens behind the
common prefix of each prompt and the one before, which is what a cache of one prompt cannot spare.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from itertools import pairwise, product
from pathlib import Path
from statistics import median

from handlers.language_model import LanguageModel, Usage
from handlers.language_model_ollama import OllamaModel
from handlers.language_model_openai import OpenAIModel
from handlers.minilm import MiniLM
from handlers.prompt import Turn, compose
from storage.graph import Passage
from tests.bench.prompt_slots import Unpinned, in_turns, threads
from tests.services import llama_server, ollama_server
from tests.services.launching import Started

TURNS = 20
TIMES = 2
NUM_CTX = 8192
SERVER_CTX = 2 * NUM_CTX
"""What the server is asked for: the small model has a token for each digit, and more than are reckoned."""
NAMES = ("Orla Finch", "Bram Tolland", "Ida Crane", "Piet Osman", "Lene Dahl", "Marit Solheim")
PLACES = ("the lower gate", "Drumlin Point", "the weigh house", "pier nine", "the dredger", "the chapel")


@dataclass(frozen=True)
class Asked:
    """One turn's two prompts, each as system and user."""

    ours: tuple[str, str]
    arrived: tuple[str, str]


def passage(i: int) -> Passage:
    name, place = NAMES[i % len(NAMES)], PLACES[i * 5 % len(PLACES)]
    text = " ".join(
        f"On day {i * 7 + k} {name} was seen at {place} with crate {i * 31 + k}, and signed at hour {k + 6}."
        for k in range(8)
    )
    return Passage(i + 1, i + 1, f"log {i}", 1 + i % 9, 0, len(text), text)


def answer(i: int) -> str:
    """Three sentences, as the rules ask for one to four."""
    name, place = NAMES[i % len(NAMES)], PLACES[i % len(PLACES)]
    other = NAMES[(i + 1) % len(NAMES)]
    return (
        f"{name} was seen at {place} on day {i * 11} [1]. The log of that day names crate {i * 31} and gives "
        f"the hour of signing as {i % 12 + 6} [2][3]. A second entry, signed by {other}, "
        "tells the same [4]."
    )


def conversation(turns: int, num_ctx: int = NUM_CTX, *, since: int = 0) -> list[Asked]:
    """The prompts of a conversation about changing passages, as many a question as fit, twelve at most."""
    asked, before = [], list[Turn]()
    for i in range(since, since + turns):
        question = f"Where was {NAMES[i % len(NAMES)]} on day {i * 11}, and what was signed for?"
        passages = [passage(i * 9 + k) for k in range(12)]
        ours = compose(question, "Harbour", passages, before, num_ctx=num_ctx)
        parts = ours.user.split("\n\n<passage number=1>")
        earlier = parts[0] if before else ""
        rest = ("<passage number=1>" + parts[1]) if before else ours.user
        shown, _, last = rest.rpartition("\n\n<question>")
        arrived = "\n\n".join(part for part in (f"<question>{last}", shown, earlier, ours.system) if part)
        asked.append(Asked((ours.system, ours.user), ("", arrived)))
        before.append(Turn(question, answer(i)))
    return asked


def behind(prompts: Sequence[str], count: MiniLM) -> list[tuple[int, int]]:
    """Bytes and tokens of each prompt but the first that the one before did not begin with."""
    found = []
    for one, other in pairwise(prompts):
        same = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), len(one))
        rest = other[same:]
        found.append((len(rest.encode()), count.count_tokens(rest)))
    return found


def model() -> tuple[LanguageModel, list[Usage]] | None:
    usages: list[Usage] = []
    if url := os.environ.get("TEST_OPENAI_URL"):
        key = os.environ.get("TEST_OPENAI_KEY", "")
        return OpenAIModel(
            url, key, os.environ["TEST_OPENAI_MODEL"], num_ctx=SERVER_CTX, told=usages.append
        ), usages
    if host := os.environ.get("TEST_OLLAMA_HOST"):
        name = os.environ["TEST_OLLAMA_MODEL"]
        return OllamaModel(host, name, num_ctx=SERVER_CTX, told=usages.append), usages
    return None


@dataclass(frozen=True)
class Log:
    """Of an Ollama that is told to debug: it tells of each prompt what was found of it in the cache."""

    path: Path

    def told(self) -> list[int]:
        """Tokens that were evaluated of each prompt so far."""
        text = self.path.read_text(errors="replace")
        return [int(match[1]) for match in _LOADED.finditer(text)]


_LOADED = re.compile(r'msg="loading cache slot".* remaining=(\d+)')


async def evaluated(
    prompts: Sequence[tuple[str, str]],
    writer: LanguageModel,
    usages: list[Usage],
    thread: str,
    log: Log | None,
) -> list[tuple[int, int | None, float]]:
    """Prompt tokens, evaluated ones (None: nobody tells), and seconds, of each prompt."""
    await writer.warm(f"Nothing in common, {thread}.", "Hello.", thread=thread)
    found = []
    for system, user in prompts:
        usages.clear()
        before = len(log.told()) if log else 0
        began = time.perf_counter()
        await writer.warm(system or "Answer.", user, thread=thread)
        took = time.perf_counter() - began
        news = None if usages[0].cached is None else usages[0].prompt - usages[0].cached
        if news is None and log and len(told := log.told()) == before + 1:
            news = told[-1]
        found.append((usages[0].prompt, news, took))
    return found


async def main(turns: int, num_ctx: int = NUM_CTX) -> None:
    asked = conversation(turns, num_ctx)
    count = MiniLM("cpu")
    print(f"{turns} turns, twelve passages a question at most, num_ctx {num_ctx}\n")
    print("| order | bytes behind the common prefix, median | MiniLM tokens of them | share of the prompt |")
    print("|---|---|---|---|")
    for name in ("ours", "arrived"):
        prompts = ["\n\n".join(getattr(one, name)) for one in asked]
        rest = behind(prompts, count)
        whole = median(len(prompt.encode()) for prompt in prompts[1:])
        size = median(size for size, _ in rest)
        print(f"| {name} | {size:,.0f} | {median(n for _, n in rest):,.0f} | {size / whole:.1%} |")
    if (found := model()) is None:
        print("\nNo server is named, so nothing was evaluated.")
        return
    writer, usages = found
    print(f"\n{writer.name} at {writer.host}\n")
    await compare_orders(asked, writer, usages)
    if isinstance(writer, OpenAIModel) and (slots := (await writer._slots_of_server()).count) > 1:
        await compare_pins(asked, conversation(turns, num_ctx, since=turns), writer, usages, slots)


async def compare_orders(asked: Sequence[Asked], writer: LanguageModel, usages: list[Usage]) -> None:
    log = Log(Path(os.environ["TEST_OLLAMA_LOG"])) if os.environ.get("TEST_OLLAMA_LOG") else None
    print("| order | prompt tokens, all turns | evaluated | median a turn from the second | seconds |")
    print("|---|---|---|---|---|")
    evaluations: dict[str, list[int]] = {"ours": [], "arrived": []}
    each: dict[str, list[int]] = {}
    seconds: dict[str, list[float]] = {"ours": [], "arrived": []}
    for name in ("ours", "arrived") * TIMES:
        prompts = [getattr(one, name) for one in asked]
        rows = await evaluated(prompts, writer, usages, f"{name} {time.time()}", log)
        prompt, took = sum(row[0] for row in rows), sum(row[2] for row in rows)
        seconds[name].append(took)
        news = [row[1] for row in rows if row[1] is not None]
        if len(news) < len(rows):
            print(f"| {name} | {prompt:,} | the server does not tell | – | {took:.1f} |", flush=True)
            continue
        evaluations[name].append(sum(news))
        each[name] = news
        print(f"| {name} | {prompt:,} | {sum(news):,} | {median(news[1:]):,.0f} | {took:.1f} |", flush=True)
    if each:
        print("\n| turn | ours evaluates | arrived evaluates |\n|---|---|---|")
        for turn, (ours, arrived) in enumerate(zip(each["ours"], each["arrived"], strict=True), 1):
            print(f"| {turn} | {ours:,} | {arrived:,} |")
        ratio = sum(evaluations["arrived"]) / sum(evaluations["ours"])
        print(f"\nIn order of arrival the server evaluates {ratio:.2f} times as many tokens,", end=" ")
    print(f"and takes {sum(seconds['arrived']) / sum(seconds['ours']):.2f} times as long.", flush=True)


async def compare_pins(
    asked: Sequence[Asked], others: Sequence[Asked], writer: OpenAIModel, usages: list[Usage], slots: int
) -> None:
    print(f"\nAnother conversation of the case asks after each turn; {slots} slots.\n")
    print("| order | slots | prompt tokens, all turns | evaluated |\n|---|---|---|---|")
    free = Unpinned(
        writer._server.address,
        os.environ.get("TEST_OPENAI_KEY", ""),
        writer.name,
        num_ctx=writer.num_ctx,
        told=usages.append,
    )
    sums: dict[tuple[str, str], int] = {}
    for order, (how, model) in product(
        ("ours", "arrived"), (("pinned", writer), ("chosen by the server", free))
    ):
        prompts, rivals = ([getattr(one, order) for one in talk] for talk in (asked, others))
        names = threads(slots, f"{order} {how} {time.time()}")
        for name in names:  # nothing is left in the slots of what was asked before
            await model.warm(f"Nothing in common, {name}.", "Hello.", thread=name)
        whole, news = await in_turns(prompts, rivals, model, usages, names)
        sums[order, how] = news
        print(f"| {order} | {how} | {whole:,} | {news:,} |", flush=True)
    free_share = sums["ours", "chosen by the server"] / sums["ours", "pinned"]
    order_share = sums["arrived", "pinned"] / sums["ours", "pinned"]
    print(
        f"\nWithout the pin {free_share:.2f} times as many tokens are evaluated; "
        f"pinned, but in order of arrival, {order_share:.2f} times."
    )


@contextmanager
def llamacpp() -> Iterator[Started]:
    """A llama.cpp server of our own, with the model that is made, under the names that `model` reads."""
    with (
        tempfile.TemporaryDirectory(prefix="casewire-prompts-", dir="/tmp") as folder,
        # It would keep prompts that were pushed out of their slots in memory, and know them the second time.
        llama_server.served(Path(folder), "--cache-ram", "0") as server,
    ):
        told = {name.replace("LLAMA", "OPENAI"): value for name, value in server.variables.items()}
        yield Started(told, server.version, server.pid)


@contextmanager
def ollama() -> Iterator[Started]:
    """An Ollama of our own, with the model that is made."""
    with (
        tempfile.TemporaryDirectory(prefix="casewire-prompts-", dir="/tmp") as folder,
        ollama_server.served(Path(folder)) as server,
    ):
        yield Started({name: server.variables[name] for name in _OLLAMA}, server.version, server.pid)


_OLLAMA = ("TEST_OLLAMA_HOST", "TEST_OLLAMA_MODEL", "TEST_OLLAMA_LOG")


def measured(words: Sequence[str]) -> None:
    """Measure as the command line says."""
    turns, *tokens = [int(word) for word in words if word.isdigit()] or [TURNS]
    servers: dict[str, tuple[Callable[[], AbstractContextManager[Started]], int]] = {
        "ollama": (ollama, NUM_CTX),
        "llamacpp": (llamacpp, NUM_CTX // 2),
    }
    chosen = next((servers[word] for word in words if word in servers), None)
    if chosen is None:
        asyncio.run(main(turns, *tokens))
        return
    serving, usual = chosen
    num_ctx = tokens[0] if tokens else usual
    with serving() as server:
        os.environ.update(server.variables)
        print(server.version)
        asyncio.run(main(turns, num_ctx))


if __name__ == "__main__":
    measured(sys.argv[1:])
