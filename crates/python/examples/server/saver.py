import os
from contextlib import asynccontextmanager

from langgraph.checkpoint.jsonb.aio import AsyncPostgresSaver


@asynccontextmanager
async def saver():
    async with AsyncPostgresSaver.from_conn_string(os.environ["AGENTS_DATABASE_URL"]) as saver:
        await saver.setup()
        yield saver
