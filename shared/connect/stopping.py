"""Ctrl-C and SIGTERM stop a command, from the import of this module on.

A command imports it first: an exception during its other imports would end in a traceback.
"""

import os
import queue
import signal

# Unlike an Event, it can be used in a handler that interrupts itself.
_reasons: queue.SimpleQueue[str] = queue.SimpleQueue()
PARENT = os.getppid()  # now: it may have ended when `wait` is called
SIGNALS = (signal.SIGINT, signal.SIGTERM)
for number in SIGNALS:
    signal.signal(number, lambda *_: stop())


def stop(reason: str = "") -> None:
    """Let `wait` return, with the reason of the first call."""
    _reasons.put(reason)


def wait() -> str:
    """Return why to stop: empty after a signal, or when the process that started this one ends."""
    # tox does not pass on the signal that ends it.
    while os.getppid() == PARENT:
        try:
            return _reasons.get(timeout=1)
        except queue.Empty:
            continue
    return ""


def say_stopped() -> None:
    """Print that the command has stopped, and ignore later signals."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    print("Stopped.", flush=True)
