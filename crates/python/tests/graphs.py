"""Graphs for the tests: each is built anew for a saver."""

from __future__ import annotations

import operator
from typing import Annotated, Any

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolMessage
from langgraph.channels.delta import DeltaChannel
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.types import Command, Send, interrupt
from typing_extensions import TypedDict


class Chat(TypedDict):
    messages: Annotated[list[AnyMessage], add_messages]
    steps: Annotated[int, operator.add]


def agent(state: Chat) -> dict[str, Any]:
    """Calls a tool, and answers once it has the result."""
    number = len(state["messages"])
    if isinstance(state["messages"][-1], ToolMessage):
        return {"messages": [AIMessage("It is on its way.", id=f"ai-{number}")], "steps": 1}
    arguments = {"order": number, "fields": ["state", "place"], "and": None}
    call = {"name": "look_up", "args": arguments, "id": f"call-{number}"}
    return {"messages": [AIMessage("", tool_calls=[call], id=f"ai-{number}")], "steps": 1}


def tool(state: Chat) -> dict[str, Any]:
    """Answers the last message's call."""
    call = state["messages"][-1].tool_calls[0]
    content = f"order {call['args']['order']}: in the post"
    message = ToolMessage(content, tool_call_id=call["id"], id=f"tool-{len(state['messages'])}")
    return {"messages": [message], "steps": 1}


def after_agent(state: Chat) -> str:
    return "tool" if state["messages"][-1].tool_calls else END


def chat(saver: Any) -> Any:
    """An agent with a tool."""
    builder = StateGraph(Chat)
    builder.add_node(agent)
    builder.add_node(tool)
    builder.add_edge(START, "agent")
    builder.add_conditional_edges("agent", after_agent, ["tool", END])
    builder.add_edge("tool", "agent")
    return builder.compile(checkpointer=saver)


def ask(text: str, number: int) -> dict[str, Any]:
    return {"messages": [HumanMessage(text, id=f"human-{number}")]}


class Fan(TypedDict):
    items: list[int]
    results: Annotated[list[int], operator.add]


def fan(saver: Any) -> Any:
    """Sends an item to each of many tasks."""
    builder = StateGraph(Fan)
    builder.add_node("plan", lambda state: {"items": list(range(5))})
    builder.add_node("work", lambda state: {"results": [state["item"] ** 2]})
    builder.add_edge(START, "plan")
    builder.add_conditional_edges(
        "plan", lambda state: [Send("work", {"item": item}) for item in state["items"]], ["work"]
    )
    return builder.compile(checkpointer=saver)


class Approval(TypedDict):
    text: str
    log: Annotated[list[str], operator.add]


def approval(saver: Any) -> Any:
    """Asks a person within a subgraph, and goes elsewhere by the answer."""

    def draft(state: Approval) -> dict[str, Any]:
        return {"log": ["draft"]}

    def approve(state: Approval) -> Command[Any]:
        answer = interrupt({"approve": state["text"]})
        return Command(update={"text": answer, "log": ["approved"]})

    inner = StateGraph(Approval)
    inner.add_node(draft)
    inner.add_node(approve)
    inner.add_edge(START, "draft")
    inner.add_edge("draft", "approve")

    outer = StateGraph(Approval)
    outer.add_node("before", lambda state: {"log": ["before"]})
    outer.add_node("inner", inner.compile())
    outer.add_node("after", lambda state: {"log": ["after"]})
    outer.add_edge(START, "before")
    outer.add_edge("before", "inner")
    outer.add_edge("inner", "after")
    return outer.compile(checkpointer=saver)


class Log(TypedDict):
    log: Annotated[list[str], operator.add]


def asking_thrice(saver: Any) -> Any:
    """A node that asks a person three times."""
    builder = StateGraph(Log)
    builder.add_node("ask", lambda state: {"log": ["".join(interrupt(n) for n in range(3))]})
    builder.add_edge(START, "ask")
    return builder.compile(checkpointer=saver)


class Nested(TypedDict):
    text: str


def nested(saver: Any, depth: int) -> Any:
    """Subgraphs within each other, of which the innermost asks a person."""
    within = StateGraph(Nested)
    within.add_node("ask", lambda state: {"text": interrupt("go on?")})
    within.add_edge(START, "ask")
    graph = within.compile()
    for level in range(depth):
        outer, name = StateGraph(Nested), f"subgraph-{level:02}"
        outer.add_node(name, graph)
        outer.add_edge(START, name)
        graph = outer.compile(checkpointer=saver if level == depth - 1 else None)
    return graph


def append(state: list[str], writes: list[list[str]]) -> list[str]:
    return [*(state or []), *(item for write in writes for item in write)]


class Delta(TypedDict):
    history: Annotated[list[str], DeltaChannel(append, snapshot_frequency=3)]


def delta(saver: Any) -> Any:
    """Keeps a channel as what was written to it."""
    builder = StateGraph(Delta)
    builder.add_node("one", lambda state: {"history": [f"one {len(state['history'])}"]})
    builder.add_node("two", lambda state: {"history": [f"two {len(state['history'])}"]})
    builder.add_edge(START, "one")
    builder.add_edge("one", "two")
    return builder.compile(checkpointer=saver)


class Joined(TypedDict):
    done: Annotated[list[str], operator.add]


def join(saver: Any) -> Any:
    """Nodes that run at once, and one that waits for all: its channel has the names of all in its own."""
    builder = StateGraph(Joined)
    names = [f"look up the {number}th of the customer's orders" for number in range(12)]
    for name in names:
        builder.add_node(name, lambda state, name=name: {"done": [name]})
        builder.add_edge(START, name)
    builder.add_node("answer", lambda state: {"done": [f"answered {len(state['done'])}"]})
    builder.add_edge(names, "answer")
    return builder.compile(checkpointer=saver)


SCENARIOS: dict[str, tuple[Any, list[Any]]] = {
    "chat": (chat, [ask("Where is my order?", 1), ask("And the other one?", 2)]),
    "fan": (fan, [{"items": []}, {"items": [1]}]),
    "approval": (approval, [{"text": "Dear customer"}, Command(resume="Dear Ada"), {"text": "2"}]),
    "delta": (delta, [{"history": [f"input {number}"]} for number in range(5)]),
}
