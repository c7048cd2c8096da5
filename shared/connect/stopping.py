"""Ctrl-C, SIGTERM and a closed terminal stop a command, from the import of this module on.

A command imports it first: an exception during its other imports would end in a traceback.
"""

import contextlib
import queue
import signal

# Unlike an Event, it can be used in a handler that interrupts itself.
_reasons: queue.SimpleQueue[str] = queue.SimpleQueue()
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
for number in SIGNALS:
    if signal.getsignal(number) != signal.SIG_IGN:  # as after nohup
        signal.signal(number, lambda *_: stop())


def stop(reason: str = "") -> None:
    """Let `wait` return, with the reason of the first call."""
    _reasons.put(reason)


def wait() -> str:
    """Return why to stop; empty after a signal."""
    while True:
        # With a timeout: a signal that comes just before the waiting starts does not end it.
        with contextlib.suppress(queue.Empty):
            return _reasons.get(timeout=1)


def say_stopped() -> None:
    """Print that the command has stopped, and ignore later signals."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    print("Stopped.", flush=True)
