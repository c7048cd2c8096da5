"""Ctrl-C and SIGTERM set an event, from the import of this module on.

A command imports it first: an exception during its other imports would end in a traceback.
"""

import os
import signal
import threading

stopped = threading.Event()
SIGNALS = (signal.SIGINT, signal.SIGTERM)
for number in SIGNALS:
    signal.signal(number, lambda *_: stopped.set())


def wait() -> None:
    """Return after a signal, or when the process that started this one ends."""
    parent = os.getppid()
    # tox does not pass on the signal that ends it.
    while not stopped.wait(timeout=1) and os.getppid() == parent:
        pass


def say_stopped() -> None:
    """Print that the command has stopped, and ignore later signals."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    print("Stopped.", flush=True)
