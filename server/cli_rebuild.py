"""`casewire rebuild`: what PostgreSQL can give anew is filled or counted again, or compared with it."""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import AsyncExitStack
from secrets import token_hex

from server.beside import SETTING_OF, followers_of
from server.cli_wire import CommandFailed, Misused
from server.ending import end
from server.keeping_up import KeepingUp
from server.services import attached_services
from server.settings import Settings
from storage.database import create_engine
from storage.follow import Comparison, Follower, StoreBesideError, StoreUnfit
from storage.machine_store import MachineStore
from storage.machine_store_redis import RedisMachineStore
from storage.marks import FollowerState, Marks
from storage.redis_client import connect
from storage.totals import Totals

PROBLEM = 1
_LOOK_S = 0.5


async def rebuild(settings: Settings, name: str, *, check: bool) -> int:
    """Fill the store anew while everything else goes on, or compare it; 1 where they differ.

    The server does the work if it runs, this process otherwise. One that is broken off is gone on with by
    the server, or by the same command.

    Raises:
        Misused: No such store is configured.
        CommandFailed: It cannot be used.
        ServicesError: PostgreSQL or Redis cannot be found.
    """
    services = attached_services(settings)
    async with AsyncExitStack() as stack:
        database = create_engine(services.database_url, pool_size=2)
        stack.push_async_callback(database.dispose)
        followers = await stack.enter_async_context(followers_of(settings, database))
        follower = next((each for each in followers if each.name == name), None)
        if follower is None:
            raise Misused(
                f"there is nothing to rebuild: {SETTING_OF[name]} is not set, so PostgreSQL alone "
                f"serves what is asked of the {name}"
            )
        try:
            if check:
                return _told(await follower.compare())
            await _begin(follower, Marks(database))
        except StoreBesideError as error:
            raise CommandFailed(str(error)) from error
        redis = await connect(services.redis_url)
        stack.push_async_callback(redis.aclose)
        # Only its leases are used, by which this and the servers agree on who does the work.
        store = RedisMachineStore(redis, shards=settings.shards, era="")
        await _through(follower, Marks(database), store)
    return 0


async def rebuild_totals(settings: Settings, *, check: bool) -> int:
    """Count anew what triggers keep count of, or compare it with a count; 1 where they differ.

    Raises:
        ServicesError: PostgreSQL or Redis cannot be found.
    """
    database = create_engine(attached_services(settings).database_url, pool_size=1)
    try:
        totals = Totals(database)
        if not check:
            await totals.recount()
        return _told(await totals.compare())
    finally:
        await database.dispose()


def _told(found: Comparison) -> int:
    for example in found.examples:
        print(example)
    print(
        f"{found.compared:,} compared: {found.missing:,} missing, {found.spare:,} too many, "
        f"{found.different:,} different"
    )
    return 0 if found.agree else PROBLEM


async def _begin(follower: Follower, marks: Marks) -> None:
    """Begin from the beginning, unless the store is being filled and fit for it.

    Raises:
        StoreAway: It does not answer; nothing was changed.
    """
    fit = True
    try:
        print(f"{await follower.check()}, {follower.target}")
    except StoreUnfit as error:
        fit = False
        print(f"{error}")
    await marks.register(follower)
    if fit and await marks.phase(follower.name) in ("marking", "filling"):
        print("It is being filled already; that goes on.")
        return
    await marks.begin_again(follower.name)


async def _through(follower: Follower, marks: Marks, store: MachineStore) -> None:
    """Tell how far it is until the store holds everything."""
    holder = f"rebuild-{socket.gethostname()}-{os.getpid()}-{token_hex(4)}"
    work = asyncio.create_task(KeepingUp(store, marks, follower, holder=holder).run())
    told = ""
    try:
        while not work.done():
            state = next((each for each in await marks.states() if each.name == follower.name), None)
            if state is None:
                raise CommandFailed(
                    f"the {follower.name} follow no longer: a server was started without them"
                )
            line = _line(state)
            if line != told:
                print(line, flush=True)
                told = line
            if state.phase == "following":
                return
            await asyncio.wait({work}, timeout=_LOOK_S)
        await work
    finally:
        await end([work])


def _line(state: FollowerState) -> str:
    line = f"{state.filled:4.0%}  {state.phase}, {state.waiting:,} to take"
    if state.phase == "new":
        line = "waits until everybody who writes knows of it"
    if state.phase == "following":
        line = f"100%  holds everything{f', {state.waiting:,} changes to take' if state.waiting else ''}"
    return line + (f"; {state.error}" if state.error else "")
