"""Says what three savers read in LangGraph's strict mode: this one, LangGraph's, one in memory."""

from __future__ import annotations

import json
import operator
import sys
from contextlib import ExitStack
from typing import Annotated, Any

from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.jsonb import PostgresSaver
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.postgres import PostgresSaver as LangGraphsSaver
from langgraph.graph import START, StateGraph
from langgraph.types import Command, interrupt
from shop.models import Color, Order
from typing_extensions import TypedDict

ORDER = Order(7, ["a"], "v")


class State(TypedDict):
    order: Order
    orders: Annotated[list[Order], operator.add]
    # A type that names no class: LangGraph allows those that the types of a graph name.
    anything: Any


def place(state: State) -> dict[str, Any]:
    return {"order": ORDER, "orders": [ORDER], "anything": Color.RED}


def ask(state: State) -> dict[str, Any]:
    return {"orders": [interrupt(state["order"])]}


def graph(saver: Any) -> Any:
    builder = StateGraph(State)
    builder.add_node(place)
    builder.add_node(ask)
    builder.add_edge(START, "place")
    builder.add_edge("place", "ask")
    return builder.compile(checkpointer=saver)


def read(saver: Any, config: Any) -> list[Any]:
    found = saver.get_tuple(config)
    values = found.checkpoint["channel_values"]
    written = [value for _, _, value in found.pending_writes]
    return [values["order"], values["orders"], values["anything"], *written]


def read_by_calls(saver: Any) -> dict[str, Any]:
    config = {"configurable": {"thread_id": "calls", "checkpoint_ns": ""}}
    checkpoint = empty_checkpoint()
    checkpoint["channel_values"] = {"order": ORDER, "orders": [ORDER], "anything": Color.RED}
    checkpoint["channel_versions"] = versions = dict.fromkeys(checkpoint["channel_values"], "1")
    at = saver.put(config, checkpoint, {}, versions)
    saver.put_writes(at, [("order", ORDER), ("anything", Color.RED)], "task")
    allowed = saver.with_allowlist([("shop.models", "Order")])
    return {"without": read(saver, config), "with": read(allowed, config)}


def read_by_graphs(saver: Any) -> dict[str, Any]:
    config = {"configurable": {"thread_id": "graphs"}}
    graph(saver).invoke({"orders": []}, config)
    (task,) = graph(saver).get_state(config).tasks
    resumed = graph(saver).invoke(Command(resume=Order(8, [], "")), config)
    return {"asked": task.interrupts[0].value, "resumed": resumed}


url, schema, langgraphs_url = sys.argv[1:]
with ExitStack() as stack:
    savers = {
        "this": stack.enter_context(PostgresSaver.from_conn_string(url, schema=schema)),
        "langgraphs": stack.enter_context(LangGraphsSaver.from_conn_string(langgraphs_url)),
        "memory": InMemorySaver(),
    }
    seen = {name: read_by_calls(each) | read_by_graphs(each) for name, each in savers.items()}
    print(json.dumps(seen, default=repr))
