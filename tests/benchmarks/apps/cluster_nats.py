"""What JetStream takes a second whose stream is synced before it acknowledges, with a thousand publishes in flight."""

import asyncio
import time

import nats as client
import work
from servers import nats

JOB = work.JOB
IN_FLIGHT = 1_000


async def publish(address: str) -> dict[str, float]:
    """How many a second are acknowledged."""
    connection = await client.connect(address)
    stream = connection.jetstream(publish_async_max_pending=IN_FLIGHT)
    await stream.add_stream(name="signals", subjects=["signals"])
    await published(stream, JOB["published"] // 10)
    start = time.monotonic()
    await published(stream, JOB["published"])
    rate = JOB["published"] / (time.monotonic() - start)
    await connection.close()
    return {"published": rate}


async def published(stream: client.js.JetStreamContext, count: int) -> None:
    """Publish, and wait until all is acknowledged."""
    acknowledged = [await stream.publish_async("signals", b"\x11", wait_stall=60.0) for _ in range(count)]
    for one in acknowledged:
        await one


with nats() as address:
    work.report(asyncio.run(publish(address)))
