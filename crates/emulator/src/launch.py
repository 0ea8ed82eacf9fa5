"""Runs MiniStack so that it never outlives the curfew that started it.

Standard input is a pipe from curfew: it closes when curfew exits, by whatever signal. MiniStack is then terminated, which saves its
state, and the whole process group, functions included, is killed if that takes too long.
"""

import os
import signal
import threading
import time

GRACE_SECONDS = 8

parent = os.dup(0)
null = os.open(os.devnull, os.O_RDONLY)
os.dup2(null, 0)
os.close(null)


def follow():
    while os.read(parent, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_SECONDS)
    os.killpg(0, signal.SIGKILL)


threading.Thread(target=follow, daemon=True).start()

from ministack.app import main  # noqa: E402  (takes a second; the parent is watched meanwhile)

try:
    main()
finally:
    # Warm functions are child processes and must be terminated here.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.killpg(0, signal.SIGTERM)
