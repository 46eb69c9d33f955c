"""The classes of LangChain's messages, of which a list is serialised item by item."""

from __future__ import annotations

from langchain_core import messages
from langchain_core.messages import BaseMessage
from pydantic import BaseModel


def _depends_on_fields_only(message: type[BaseMessage]) -> bool:
    """Whether nothing but a message's fields decides what it is serialised to: no code of a class."""
    decorators = message.__pydantic_decorators__
    return message.model_dump is BaseModel.model_dump and not (
        decorators.field_serializers or decorators.model_serializers or decorators.computed_fields
    )


_ALL: tuple[type[BaseMessage], ...] = (
    messages.AIMessage,
    messages.AIMessageChunk,
    messages.ChatMessage,
    messages.ChatMessageChunk,
    messages.FunctionMessage,
    messages.FunctionMessageChunk,
    messages.HumanMessage,
    messages.HumanMessageChunk,
    messages.RemoveMessage,
    messages.SystemMessage,
    messages.SystemMessageChunk,
    messages.ToolMessage,
    messages.ToolMessageChunk,
)

MESSAGES = frozenset(message for message in _ALL if _depends_on_fields_only(message))
"""Those whose objects can be compared with what they were. A class derived from one isn't among them."""
