"""Stands in for the interpreter in a process that tests start: what it is given with `-m` of Prefect's and ours is
forked, all else is Python itself.

It imports next to nothing: its own start is what it is there to save.
"""

import _socket
import array
import marshal
import os
import signal
import sys

FORKED = ("prefect", "prefect_seedance.cli", "prefect_seedance.video.decoding", "uvicorn")
"""Packages whose modules are forked."""
FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


def main(place: str, python: str) -> None:
    """Run `python WORDS`, forked by whoever listens at *place*: the two end as one."""
    words = sys.argv[1:]
    if os.path.basename(sys.argv[0]) == "prefect":
        words = ["-m", "prefect", *words]
    if words[:1] == ["-P"]:
        words = words[1:]
    if len(words) < 2 or words[0] != "-m" or not is_forked(words[1]):
        os.execv(python, [python, *sys.argv[1:]])
    asking = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    asking.connect(place)
    request = marshal.dumps((words[1:], dict(os.environ), os.getcwd(), True))
    asking.sendmsg([request], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, array.array("i", [0, 1, 2]))])
    forked = int(asking.recv(100))
    for number in FORWARDED:
        signal.signal(number, lambda number, _: os.kill(forked, number))
    code = int(asking.recv(100) or -signal.SIGKILL)
    if code < 0:
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    sys.exit(code)


def is_forked(module: str) -> bool:
    return any(f"{module}.".startswith(f"{name}.") for name in FORKED)
