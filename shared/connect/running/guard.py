"""Runs a command, and ends everything it started: python guard.py COMMAND...

That happens when the command ends, or when this process's stdin closes, which it does when the
server ends, even by SIGKILL. Ends as the command did, by its code or its signal.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36  # prctl(2)


def main() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, [])  # the server blocks some, see stopping.py
    for number in (signal.SIGINT, signal.SIGHUP):  # ignored after nohup, or `&` in a script
        signal.signal(number, signal.SIG_DFL)
    prctl = getattr(ctypes.CDLL(None), "prctl", lambda *_: None)  # on Linux only
    # A process whose parent ends becomes a child of this one, whatever its session.
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    try:
        child = subprocess.Popen(
            sys.argv[1:],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            close_fds=False,  # the command gets the pipes that this process got
            # It ends even if this process is killed.
            preexec_fn=lambda: prctl(PR_SET_PDEATHSIG, signal.SIGKILL),
        )
    except OSError as error:
        sys.exit(f"{sys.argv[1]} does not run: {error.strerror}")
    os.closerange(3, 2**16)  # whoever reads from the command sees at once that it has ended

    def end_group() -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)

    def end_with_stdin() -> None:
        while os.read(0, 1024):
            pass
        end_group()

    threading.Thread(target=end_with_stdin, daemon=True).start()
    code = child.wait()
    end_group()  # all that can be done without /proc
    adopted = Path(f"/proc/self/task/{os.getpid()}/children")
    while adopted.exists() and (pids := adopted.read_text(encoding="ascii").split()):
        for pid in map(int, pids):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    if code < 0:
        os.kill(os.getpid(), -code)
    sys.exit(code)


main()
