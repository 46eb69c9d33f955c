"""An agent that drafts an answer and asks a person before it is sent."""

from typing import Any

from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import interrupt


def draft(state: MessagesState) -> dict[str, Any]:
    question = state["messages"][-1].content
    return {"messages": [{"role": "assistant", "content": f"An answer to: {question}"}]}


def approve(state: MessagesState) -> dict[str, Any]:
    answer = interrupt({"approve": state["messages"][-1].content})
    return {"messages": [{"role": "assistant", "content": answer}]}


builder = StateGraph(MessagesState)
builder.add_node(draft)
builder.add_node(approve)
builder.add_edge(START, "draft")
builder.add_edge("draft", "approve")
graph = builder.compile()
