"""A program that forks with an idle saver and a list, while threads use another saver. Its children use none, and end."""

from __future__ import annotations

import os
import sys
import threading
import warnings

from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.jsonb import PostgresSaver

CHILDREN = 10

# Python 3.12 and later warn of what this program is for.
warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)

url, schema = sys.argv[1:]
idle, busy = (PostgresSaver(url, schema=schema) for _ in range(2))
ended = threading.Event()


def config_of(thread_id):
    return {"configurable": {"thread_id": thread_id, "checkpoint_ns": ""}}


def work(number):
    while not ended.is_set():
        busy.put(config_of(f"thread-{number}"), empty_checkpoint(), {}, {})


for _ in range(3):
    idle.put(config_of("listed"), empty_checkpoint(), {}, {})
listed = idle.list(config_of("listed"))
next(listed)
threads = [threading.Thread(target=work, args=[number]) for number in range(4)]
for thread in threads:
    thread.start()
children = []
for _ in range(CHILDREN):
    child = os.fork()
    if child == 0:
        del listed, idle
        sys.exit()
    children.append(child)
codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
ended.set()
for thread in threads:
    thread.join()
assert codes == [0] * CHILDREN, codes
assert len(list(listed)) == 2
