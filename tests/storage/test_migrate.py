"""The migrations and the schema must say the same."""

from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, text
from sqlmodel import SQLModel

import storage.schema
from storage.database import create_engine, with_driver
from storage.migrate import current, newest, upgrade


async def test_migrated_tables_equal_the_declared_ones(database: str) -> None:
    def differences(connection: Connection) -> list[object]:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return list(compare_metadata(context, SQLModel.metadata))

    engine = create_engine(database)
    async with engine.connect() as connection:
        assert await connection.run_sync(differences) == []
    await engine.dispose()


def test_no_table_is_declared_where_the_comparison_does_not_look() -> None:
    there = {path.stem for path in Path(storage.schema.__file__).parent.glob("schema_*.py")}
    assert there == {name for name in vars(storage) if name.startswith("schema_")}
    told = {one.__table__.name for one in vars(storage.schema).values() if hasattr(one, "__table__")}
    assert told == set(SQLModel.metadata.tables)


async def test_a_migrated_database_is_at_the_newest_revision_and_stays_there(database: str) -> None:
    assert await current(database) == newest()
    await upgrade(database)
    assert await current(database) == newest()


async def test_evidence_chunks_and_pois_draw_from_one_sequence(database: str) -> None:
    engine = create_engine(database)
    async with engine.begin() as connection:
        await connection.execute(text("INSERT INTO cases VALUES ('c', 't', '', 'm', now())"))
        poi = await connection.scalar(
            text("INSERT INTO pois (case_id, name, aliases, note) VALUES ('c', 'P', '[]', '') RETURNING id")
        )
        entity = await connection.scalar(
            text(
                "INSERT INTO entities (case_id, kind, key, name, status)"
                " VALUES ('c', 'person', 'p', 'P', 'suggested') RETURNING id"
            )
        )
    await engine.dispose()
    assert entity == poi + 1


@pytest.mark.parametrize("url", ["postgresql://u@h/d", "postgres://u@h/d", "postgresql+asyncpg://u@h/d"])
def test_every_postgres_url_gets_the_asyncpg_driver(url: str) -> None:
    assert with_driver(url) == "postgresql+asyncpg://u@h/d"
