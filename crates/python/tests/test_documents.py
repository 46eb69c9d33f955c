"""The programs in the documents, as they are but for the server."""

from __future__ import annotations

import asyncio
import json
import re
import runpy
from pathlib import Path

import pytest
from graphs import ask
from langgraph.checkpoint.jsonb import AsyncPostgresSaver, PostgresSaver
from langgraph.graph import START, StateGraph
from langgraph.graph.message import MessagesState
from langgraph.types import Command

PACKAGE = Path(__file__).parent.parent
PAGES = [PACKAGE / "README.md", PACKAGE.parent.parent / "docs/python.md"]
SERVER_PROJECT = PACKAGE / "examples/server"
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


def test_the_project_for_langgraphs_server_is_the_one_on_the_page():
    page = PAGES[1].read_text()
    for file in ["langgraph.json", "saver.py"]:
        assert f"\n{(SERVER_PROJECT / file).read_text()}```" in page


def test_what_langgraphs_server_loads_is_an_agent_and_a_saver(url, schema):
    project = json.loads((SERVER_PROJECT / "langgraph.json").read_text())
    file, graph = project["graphs"]["agent"].split(":")
    agent = runpy.run_path(str(SERVER_PROJECT / file))[graph]
    file, name = project["checkpointer"]["path"].split(":")
    program = (SERVER_PROJECT / file).read_text()
    names = {"url": url, "schema": schema}
    exec(program.replace('os.environ["AGENTS_DATABASE_URL"]', "url, schema=schema"), names)

    async def run():
        async with names[name]() as saver:
            assert isinstance(saver, AsyncPostgresSaver)
            agent.checkpointer = saver
            config = {"configurable": {"thread_id": "thread"}}
            await agent.ainvoke(ask("Where is my order?", 1), config)
            result = await agent.ainvoke(Command(resume="It is on its way."), config)
            return [message.content for message in result["messages"]]

    asked = "Where is my order?"
    assert asyncio.run(run()) == [asked, f"An answer to: {asked}", "It is on its way."]
