"""A person with a case and a webhook on it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import text

from tests.server.live import Live, Person
from tests.server.runtime_parts import until
from tests.server.webhooks.receiver import Receiver


class Owner:
    """A person with a case and a webhook on it."""

    def __init__(self, live: Live, person: Person, case: dict[str, Any]) -> None:
        self.live = live
        self.person = person
        self.case = case
        self.topic = f"case:{case['id']}"
        self.hook: dict[str, Any] = {}

    async def subscribe(self, receiver: Receiver, **wanted: Any) -> dict[str, Any]:
        body = {"topic": self.topic, "url": receiver.url, **wanted}
        response = await self.person.call("POST", "/api/webhooks", body)
        assert response.status_code == 201, response.text
        self.hook = response.json()
        return self.hook

    async def call(self, method: str, path: str = "", body: Any = None) -> Any:
        response = await self.person.call(method, f"/api/webhooks/{self.hook['id']}{path}", body)
        assert response.is_success, response.text
        return response.json() if response.content else None

    async def rename(self, *titles: str) -> None:
        for title in titles:
            await self.live.parts.engine.send(
                self.case["machine"], "rename", {"title": title}, source="client", role="owner"
            )

    async def held(self) -> None:
        """Wait until a server has taken the webhook as it was last changed."""

        async def taken() -> bool:
            async with self.live.parts.database.connect() as connection:
                wanted = text("SELECT holder <> '' FROM webhooks WHERE id = :id")
                return bool(await connection.scalar(wanted, {"id": self.hook["id"]}))

        await until(taken)

    async def reaches(self, **wanted: Any) -> dict[str, Any]:
        """Wait until the webhook looks so."""

        async def there() -> dict[str, Any] | None:
            hook: dict[str, Any] = await self.call("GET")
            return hook if all(hook[name] == value for name, value in wanted.items()) else None

        found: dict[str, Any] = await until(there)
        return found


def titles(receiver: Receiver) -> list[str]:
    return [request.json["data"]["context"]["title"] for request in receiver.taken]
