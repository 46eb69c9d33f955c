"""The programs in the documents, as they are but for the server."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest
from graphs import ask
from langgraph.checkpoint.jsonb import AsyncPostgresSaver, PostgresSaver
from langgraph.graph import START, StateGraph
from langgraph.graph.message import MessagesState

PACKAGE = Path(__file__).parent.parent
PAGES = [PACKAGE / "README.md", PACKAGE.parent.parent / "docs/python.md"]
SERVER = '"postgres://agents@localhost/agents"'


def programs(page, lines):
    """The programs on a page that have a text in them."""
    found = re.findall(r"^```python\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)
    return [program for program in found if lines in program]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_program_that_uses_a_saver_runs(page, url, schema):
    builder = StateGraph(MessagesState)
    builder.add_node("agent", lambda state: {"messages": ["It is on its way."]})
    builder.add_edge(START, "agent")
    names = {"builder": builder, "state": ask("Where is my order?", 1), "url": url, "schema": schema}
    (program,) = programs(page, SERVER)
    exec(program.replace(SERVER, "url, schema=schema"), names)
    saver = PostgresSaver(url, schema=schema)
    assert len(list(saver.list(None))) == (3 if "invoke" in program else 0)


def test_what_langgraphs_server_loads_is_a_saver(url, schema):
    (program,) = programs(PAGES[1], "asynccontextmanager")
    names = {"url": url, "schema": schema}
    exec(program.replace('os.environ["AGENTS_DATABASE_URL"]', "url, schema=schema"), names)

    async def load():
        async with names["saver"]() as saver:
            assert isinstance(saver, AsyncPostgresSaver)
            return [found async for found in saver.alist(None)]

    assert asyncio.run(load()) == []
