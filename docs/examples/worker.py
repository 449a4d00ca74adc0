"""A worker that tells `monitor run` that it lives, by sd_notify(3): 40 lines, no package.

    ENTRYPOINT ["/monitor", "run", "--pulse-timeout", "10s", "--", "python3", "-u", "/worker.py"]

SIGUSR1 makes it hang in a deadlock, to see what happens.
"""
import os
import signal
import socket
import threading
import time


def notify(words):
    """Says something to whoever supervises us; without a supervisor, to nobody."""
    name = os.environ.get("NOTIFY_SOCKET")
    if not name:
        return
    if name.startswith("@"):
        name = "\0" + name[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
        out.sendto(words.encode(), name)


def deadlock(_signal, _frame):
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()


signal.signal(signal.SIGUSR1, deadlock)
notify("READY=1")
job = 0
while True:
    job += 1
    print("job", job)
    time.sleep(0.5)  # the work
    # Where the work is done, not in a thread beside it: that would pulse on while the work hangs.
    notify(f"WATCHDOG=1\nSTATUS=job {job} done")
