"""Metadata as JSON. An integer that JSONB would round has a tag, as among the values."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from langgraph.checkpoint.jsonb._values import INTEGERS

_GREAT = re.compile(r"[0-9]{19}")
_TAG = '"!"'
_encode = json.JSONEncoder(allow_nan=False).encode


def to_json(metadata: Mapping[str, Any]) -> str:
    """Writes metadata, or a filter."""
    text = _encode(metadata)
    if _TAG in text or _GREAT.search(text):
        tagged = {key: _tagged(value) for key, value in metadata.items()}
        text = _encode(tagged)
    return text


def from_json(text: str) -> Any:
    """Reads metadata."""
    metadata = json.loads(text)
    if _TAG in text:
        return {key: _untagged(value) for key, value in metadata.items()}
    return metadata


def _tagged(value: Any) -> Any:
    if isinstance(value, dict):
        members = {key: _tagged(item) for key, item in value.items()}
        return {"!": "dict", "v": members} if "!" in members else members
    if isinstance(value, (list, tuple)):
        return [_tagged(item) for item in value]
    if type(value) is int and value not in INTEGERS:
        return {"!": "json", "v": str(value)}
    return value


def _untagged(value: Any) -> Any:
    if isinstance(value, list):
        return [_untagged(item) for item in value]
    if not isinstance(value, dict):
        return value
    tag, inner = value.get("!"), value.get("v")
    if tag == "json" and isinstance(inner, str):
        return json.loads(inner)
    if tag == "dict" and isinstance(inner, dict):
        value = inner
    return {key: _untagged(item) for key, item in value.items()}
