"""Runs a thread of forty steps to its end, from wherever it is, and says each step."""

from __future__ import annotations

import operator
import sys
from typing import Annotated

from langgraph.checkpoint.jsonb import PostgresSaver
from langgraph.graph import END, START, StateGraph
from typing_extensions import TypedDict


class State(TypedDict):
    log: Annotated[list[int], operator.add]


def step(state: State) -> State:
    print(len(state["log"]), flush=True)
    return {"log": [len(state["log"])]}


def is_done(state: State) -> str:
    return END if len(state["log"]) >= 40 else "step"


url, schema = sys.argv[1:]
builder = StateGraph(State)
builder.add_node(step)
builder.add_edge(START, "step")
builder.add_conditional_edges("step", is_done, ["step", END])
config = {"configurable": {"thread_id": "killed"}, "recursion_limit": 100}
with PostgresSaver.from_conn_string(url, schema=schema) as saver:
    graph = builder.compile(checkpointer=saver)
    begun = graph.get_state(config).values
    graph.invoke(None if begun else {"log": []}, config, durability="sync")
print("done")
