"""Ctrl-C, SIGTERM and a closed terminal stop a command in order: one thread waits for them."""

import os
import signal

_signals: set[signal.Signals] = set()
_reasons: list[str] = []


def block() -> None:
    """Keep the signals for `wait`, whatever the threads do that start from now on."""
    _signals.add(signal.SIGTERM)
    for number in (signal.SIGINT, signal.SIGHUP):
        # Blocked, it would count even when it is ignored, as after nohup.
        if signal.getsignal(number) != signal.SIG_IGN:
            _signals.add(number)
    signal.pthread_sigmask(signal.SIG_BLOCK, _signals)


def stop(reason: str) -> None:
    """Let `wait` return, with the reason."""
    _reasons.append(reason)
    os.kill(os.getpid(), signal.SIGTERM)


def wait() -> str:
    """Return why to stop; empty after a signal."""
    signal.sigwait(_signals)
    return _reasons[0] if _reasons else ""
