"""The classes of the test vectors: what `record.py` says of them, as far as it is stored."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
from typing import Any, NamedTuple

import pydantic


class Color(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


class Point(NamedTuple):
    y: int
    x: int


@dataclasses.dataclass
class Order:
    number: int
    lines: list[Any]
    v: str


class Customer(pydantic.BaseModel):
    model_config = {"extra": "allow"}
    name: str
    born: dt.date | None = None
    secret: pydantic.SecretStr | None = None
