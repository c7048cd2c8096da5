"""Ctrl-C, SIGTERM and a closed terminal stop a command, from the import of this module on.

A command imports it first: an exception during its other imports would end in a traceback. The
signals are blocked from then on, in all threads, until `wait` takes one.
"""

import os
import signal

# Blocked, they would count even when they are ignored, as after nohup.
SIGNALS = {signal.SIGTERM} | {
    number
    for number in (signal.SIGINT, signal.SIGHUP)
    if signal.getsignal(number) != signal.SIG_IGN
}
signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
_reasons: list[str] = []


def stop(reason: str) -> None:
    """Let `wait` return, with the reason."""
    _reasons.append(reason)
    os.kill(os.getpid(), signal.SIGTERM)


def wait() -> str:
    """Return why to stop; empty after a signal."""
    signal.sigwait(SIGNALS)
    return _reasons[0] if _reasons else ""
