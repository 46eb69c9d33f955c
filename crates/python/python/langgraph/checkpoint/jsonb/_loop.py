"""How calls are awaited: an inbox for each event loop."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar, cast
from weakref import ReferenceType, WeakKeyDictionary, ref

from langgraph.checkpoint.jsonb._native import Inbox

P = ParamSpec("P")
T = TypeVar("T")


class _Mail:
    """The calls of one event loop that are under way. The loop keeps it, as what reads the inbox."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.pid = os.getpid()
        self.inbox = Inbox()
        self.waiting: dict[int, asyncio.Future[Any]] = {}
        loop.add_reader(self.inbox.fileno(), self._deliver)

    def _deliver(self) -> None:
        if self.pid != os.getpid():
            # The loop was forked, and shares the inbox with its parent, whose outcomes these are.
            return
        for number, answer, error in self.inbox.take():
            future = self.waiting.pop(number, None)
            if future is None or future.done():
                continue
            if error is None:
                future.set_result(answer)
            else:
                future.set_exception(error)


# Weak at both ends: the calls of a loop name the loop, and would keep it alive.
_mail: WeakKeyDictionary[asyncio.AbstractEventLoop, ReferenceType[_Mail]] = WeakKeyDictionary()


def _mail_of(loop: asyncio.AbstractEventLoop) -> _Mail:
    found = _mail.get(loop)
    mail = None if found is None else found()
    if mail is None or mail.pid != os.getpid():
        mail = _Mail(loop)
        _mail[loop] = ref(mail)
    return mail


async def call(
    function: Callable[Concatenate[Inbox | None, P], T], *args: P.args, **kwargs: P.kwargs
) -> T:
    """Makes a call in the running loop and waits for its answer.

    If the caller is cancelled the call is dropped; what it has sent goes on.
    """
    loop = asyncio.get_running_loop()
    mail = _mail_of(loop)
    number = cast(int, function(mail.inbox, *args, **kwargs))
    future: asyncio.Future[T] = loop.create_future()
    mail.waiting[number] = future
    try:
        return await future
    except asyncio.CancelledError:
        mail.waiting.pop(number, None)
        mail.inbox.cancel(number)
        raise
