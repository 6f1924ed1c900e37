"""Machines that do real work: uploads read, cut, embedded, linked; questions answered; cases renamed."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from email.message import EmailMessage
from uuid import uuid4

from handlers.parsing.mupdf import pymupdf
from tests.proof.ledger import Ledger
from tests.proof.people import Person

_PEOPLE = ("Ines Vartan", "Tobias Renner", "Odile Marchetti", "Joel Abara", "Mara Lindqvist")
_FIRMS = ("Calder Marine Services", "Norrish Works", "Harlow Bridge Trust", "Pellam Freight")
_DEEDS = (
    "{a} met {b} at the office of {f} on {d} March and left a folder of receipts.",
    "{f} paid {a} the sum of {n} crowns, which {b} signed for on {d} March.",
    "On {d} March {a} inspected pier {p} and wrote to {b} that the welds were sound.",
    "{b} told the harbour master that {f} had moved the steel to shed {p}.",
    "The diver measured a scour of {n} millimetres at pier {p}; {a} did not report it to {f}.",
)


def document(random_: random.Random, name: str) -> tuple[str, bytes]:
    """File name and content; no two are the same."""
    lines = [_sentence(random_) for _ in range(random_.randint(4, 14))]
    body = f"Note {name}.\n\n" + "\n".join(lines)
    kind = random_.choices(("txt", "md", "eml", "pdf"), (5, 3, 2, 2))[0]
    match kind:
        case "eml":
            mail = EmailMessage()
            mail["From"], mail["To"] = "ines@example.org", "tobias@example.org"
            mail["Date"], mail["Subject"] = "Mon, 03 Mar 2025 10:00:00 +0000", f"Note {name}"
            mail["Message-ID"] = f"<{name}@example.org>"
            mail.set_content(body)
            return f"{name}.eml", mail.as_bytes()
        case "pdf":
            pages = pymupdf.open()
            pages.new_page().insert_textbox(pymupdf.Rect(60, 60, 530, 780), body, fontsize=10)
            content: bytes = pages.tobytes()
            pages.close()
            return f"{name}.pdf", content
    return f"{name}.{kind}", body.encode()


def question(random_: random.Random, name: str) -> str:
    """A question about such documents; no two are the same."""
    a, b = random_.sample(_PEOPLE, 2)
    asked = (
        f"What did {a} tell {b}?",
        f"Who paid {a}?",
        f"What did {b} write about pier {random_.randint(1, 9)}?",
    )
    return f"{random_.choice(asked)} (see note {name})"


def _sentence(random_: random.Random) -> str:
    a, b = random_.sample(_PEOPLE, 2)
    return random_.choice(_DEEDS).format(
        a=a, b=b, f=random_.choice(_FIRMS), d=random_.randint(1, 31), n=random_.randint(100, 99_999),
        p=random_.randint(1, 9),
    )  # fmt: skip


class Load:
    """Keeps machines at work until told that it is enough.

    Args:
        machines: How many are started at once at the beginning.
        floor: How many are kept at work from then on.
    """

    def __init__(self, url: str, *, people: int, machines: int, floor: int, seed: int) -> None:
        self.ledger = Ledger()
        self.people = [Person(url, f"person{number}", self.ledger) for number in range(people)]
        self.ended: Counter[str] = Counter()
        self.started = 0
        self.stuck: list[str] = []
        self.topics: dict[str, tuple[Person, Person]] = {}
        """Topic → who owns it, and who watches it with a smaller role."""
        self._machines = machines
        self._floor = floor
        self._random = random.Random(seed)
        self._cases: list[tuple[Person, str, str]] = []
        self._work: set[asyncio.Task[str]] = set()
        self._at_work: dict[asyncio.Task[str], str] = {}
        self._enough = False

    @property
    def at_work(self) -> int:
        """Machines that do not rest yet."""
        return len(self._work)

    @property
    def results(self) -> int:
        """How many ends of jobs have reached subscribers."""
        return sum(person.results for person in self.people)

    async def begin(self) -> None:
        """Register everybody, a case each, which the next one watches."""
        for person in self.people:  # one after the other: many at once from one address are refused
            await person.begin()
        for number, owner in enumerate(self.people):
            watcher = self.people[(number + 1) % len(self.people)]
            case = await owner.request("POST", "/api/cases", {"title": f"Case {number}"})
            await owner.request(
                "PUT", f"/api/cases/{case['id']}/members", {"email": watcher.email, "role": "viewer"}
            )
            topic = f"case:{case['id']}"
            await owner.follow(topic)
            await owner.follow(f"user:{owner.client.user['id']}")
            await watcher.follow(topic)
            self.topics[topic] = (owner, watcher)
            self.topics[f"user:{owner.client.user['id']}"] = (owner, owner)
            self._cases.append((owner, topic, case["machine"]))

    async def run(self, *, rename_every_s: float) -> None:
        """Start the machines, replace those that end, and rename cases, until `enough`."""
        async with asyncio.TaskGroup() as group:
            for owner, _, machine in self._cases:
                group.create_task(self._rename(owner, machine, rename_every_s))
            for _ in range(self._machines):
                self._start()
            while not self._enough:
                await asyncio.sleep(0.2)
                for _ in range(self._floor - self.at_work):
                    self._start()

    def enough(self) -> None:
        """Start nothing new."""
        self._enough = True

    async def drain(self, timeout_s: float) -> None:
        """Wait until every machine rests; those that do not in time are `stuck`."""
        if self._work:
            await asyncio.wait(set(self._work), timeout=timeout_s)
        for task in list(self._work):
            self.stuck.append(self._at_work[task])
            task.cancel()
        await asyncio.gather(*self._work, return_exceptions=True)

    async def end(self) -> None:
        """Everybody leaves."""
        await asyncio.gather(*(person.end() for person in self.people))

    def _start(self) -> None:
        self.started += 1
        owner, topic, _ = self._cases[self.started % len(self._cases)]
        name = f"n{self.started}x{uuid4().hex[:8]}"
        work = self._ask if self._random.random() < 0.5 else self._upload
        task = asyncio.create_task(work(owner, topic, name), name=name)
        self._at_work[task] = f"{name} in {topic}: not begun"
        self._work.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[str]) -> None:
        self._work.discard(task)
        if task.cancelled():
            return
        if (error := task.exception()) is not None:
            self.ledger.faults.append(f"{self._at_work[task]}: {type(error).__name__}: {error}")
        else:
            self.ended[task.result()] += 1

    def _now(self, what: str) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._at_work[task] = what

    async def _upload(self, owner: Person, topic: str, name: str) -> str:
        filename, content = document(self._random, name)
        machine = await owner.spawn("upload", topic, {"filename": filename, "bytes": len(content)}, filename)
        self._now(f"{machine} {filename}")
        await owner.give(machine, content)
        return f"upload {await owner.state_of(machine)}"

    async def _ask(self, owner: Person, topic: str, name: str) -> str:
        text = question(self._random, name)
        machine = await owner.spawn("query", topic, {"question": text}, text)
        self._now(f"{machine} {text}")
        return f"query {await owner.state_of(machine)}"

    async def _rename(self, owner: Person, machine: str, every_s: float) -> None:
        while not self._enough:
            title = f"Title {uuid4().hex}"
            await owner.send(machine, "rename", {"title": title}, title)
            await asyncio.sleep(self._random.uniform(0.5, 1.5) * every_s)
