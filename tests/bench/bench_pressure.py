"""How long one question waits behind somebody else's many: with turns, and where it stands behind them all.

`python -m tests.bench.bench_pressure [questions] [rounds]`. In every round one person asks so many questions
at once; then the same person asks one more, which stands behind all of them as everybody's would without
turns, and another person asks one, who has their turn. Both are timed to their answer by the same clock on
the same server, and the second person's question on the idle server before. A server of its own runs
beside it.
"""

from __future__ import annotations

import asyncio
import sys
import time
from statistics import median

from server.client import Client
from server.demo_case import QUESTIONS, documents
from tests.bench.serving import investigator, open_case, serving

QUESTIONS_AT_ONCE, ROUNDS = 100, 3
OVER = frozenset({"answered", "failed", "cancelled"})
WITHIN_S = 1200.0


async def prepared(client: Client) -> str:
    """A case of the client's with a few documents that are ready."""
    case = await open_case(client, "Bench")
    machines = []
    for document in documents():
        content = document.content
        machines.append(await client.upload(case, document.filename, content, len(content)))
    for machine in machines:
        await until(client, machine, frozenset({"ready", "failed"}))
    return case


async def until(client: Client, machine: str, ends: frozenset[str]) -> None:
    def ended() -> bool:
        snapshot = client.machine(machine)
        return snapshot is not None and not ends.isdisjoint(snapshot["configuration"])

    await client.wait_for(ended, WITHIN_S)


async def ask(client: Client, case: str, number: int) -> str:
    # No two alike, so that no cache answers.
    question = f"{QUESTIONS[number % len(QUESTIONS)]} ({number})"
    made = await client.spawn("query", f"case:{case}", {"question": question})
    return str(made["machine"])


async def timed(client: Client, case: str, number: int) -> float:
    """Seconds from asking to the answer."""
    began = time.perf_counter()
    await until(client, await ask(client, case, number), OVER)
    return time.perf_counter() - began


async def main(questions: int, rounds: int) -> None:
    """Print the table."""
    number = 0
    idle, behind, turns, whole = list[float](), list[float](), list[float](), list[float]()
    async with (
        serving(CASEWIRE_CPU_WORKERS="1", CASEWIRE_GPU_WORKERS="1") as url,
        investigator(url, "many@casewire.example") as many,
        investigator(url, "one@casewire.example") as one,
    ):
        cases = [await prepared(client) for client in (many, one)]
        for _ in range(rounds):
            idle.append(await timed(one, cases[1], number := number + 1))
            began = time.perf_counter()
            asked = await asyncio.gather(
                *(ask(many, cases[0], number + each) for each in range(1, questions + 1))
            )
            number += questions + 2
            own, other = await asyncio.gather(timed(many, cases[0], number - 1), timed(one, cases[1], number))
            behind.append(own)
            turns.append(other)
            for machine in asked:
                await until(many, machine, OVER)
            whole.append(time.perf_counter() - began)
    print(f"{questions} questions at once, {rounds} rounds, one worker for each queue\n")
    print("| a question's way to its answer | median | least | most |")
    print("|---|---|---|---|")
    for name, took in (
        ("on the idle server", idle),
        ("behind all of another's questions", behind),
        ("by turns with them", turns),
        ("all of those questions", whole),
    ):
        print(f"| {name} | {median(took):.2f} s | {min(took):.2f} s | {max(took):.2f} s |")
    print(f"\nTurns take {median(turns) / median(behind):.3f} of the time that standing behind takes.")


if __name__ == "__main__":
    given = [int(each) for each in sys.argv[1:]]
    asyncio.run(main(*(given + [QUESTIONS_AT_ONCE, ROUNDS][len(given) :])))
