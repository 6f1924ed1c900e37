"""A whole server whose machines live on a Redis Cluster."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.crc import key_slot

from server.demo_case import documents as generated
from server.services import Services, ServicesError, health, wait_healthy
from storage.keys import tag
from storage.redis_client import cluster_of, connect
from tests.bench.serving import investigator, open_case, serving


async def test_a_cluster_without_a_redis_for_the_queues_is_refused(
    services: Services, cluster_url: str
) -> None:
    both = replace(services, redis_url=cluster_url, queue_url=cluster_url)
    with pytest.raises(ServicesError, match=r"is a cluster.*set CASEWIRE_QUEUE_URL"):
        await wait_healthy(both, timeout_s=0)
    apart = replace(services, redis_url=services.redis_url, queue_url=cluster_url)
    with pytest.raises(ServicesError, match=r"queue .*is a cluster.*set CASEWIRE_QUEUE_URL"):
        await wait_healthy(apart, timeout_s=0)
    well = replace(services, redis_url=cluster_url)
    redis, *_ = await health(well)
    assert redis.ok
    assert "a cluster of 3 masters" in redis.version


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_uploads_and_questions_run_to_their_end_on_a_cluster(
    services: Services, cluster_url: str, redis_client: Redis
) -> None:
    cluster = await connect(cluster_url)
    try:
        await cluster.flushall()
        settings = {"REDIS_URL": cluster_url, "CASEWIRE_QUEUE_URL": services.queue_url}
        async with serving(**settings) as url, investigator(url) as client:
            case = await open_case(client, "on a cluster")
            files = list(generated())[:3]
            uploads = [
                await client.upload(case, file.filename, file.content, len(file.content)) for file in files
            ]

            def in_state(machines: list[str], state: str) -> Any:
                return lambda: all(
                    state in (client.machine(machine) or {"configuration": []})["configuration"]
                    for machine in machines
                )

            await client.wait_for(in_state(uploads, "ready"), 120)
            asked = await client.spawn("query", f"case:{case}", {"question": "Who approved the payment?"})
            await client.wait_for(in_state([asked["machine"]], "answered"), 60)
            status = await client.request("GET", "/api/status")
            assert status["well"], status["problems"]
        found = cluster_of(cluster)
        assert found is not None
        spread = set()
        async for key in cluster.scan_iter():
            name = key.decode()
            if name.startswith("{"):
                shard = name.partition("}")[0].removeprefix("{")
                assert key_slot(key) == key_slot(tag(int(shard)).encode())
                spread.add(found.get_node_from_key(name))
        assert len(spread) == 3
    finally:
        await cluster.aclose()
