"""Becomes another program, tied to the life of the process that started it.

Run as a script, in a fresh interpreter, between fork and exec of a child (see :mod:`tonearm.child`)::

    python -I -S tied.py PARENT_PID SIGNAL USER PROGRAM [ARGUMENT ...]

It is a program of its own because what it does may not be done between fork and exec of a process with
threads. It imports nothing but what it needs: about 15 ms.

``SIGNAL`` is what the kernel sends to the program when the thread that started it ends, however it ends.
``USER`` is ``UID:GID`` to drop to first, or ``-``. Exit codes: 126 the parent is already gone, 127 the
program cannot be run.
"""

import ctypes
import os
import sys
import warnings  # noqa: F401  execvp needs it, and another user may not be able to read it

PR_SET_PDEATHSIG = 1


def main(parent: int, death_signal: int, user: str, argv: list[str]) -> str:
    """Drops to the user, asks for the signal, and execs; only ever returns why it could not."""
    if user != "-":
        uid, gid = (int(part) for part in user.split(":"))
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    # After the user is set: a change of user takes the request back.
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0) != 0:
        return f"The kernel refuses to tie {argv[0]} to its parent: {os.strerror(ctypes.get_errno())}."
    if os.getppid() != parent:  # it ended before the request was made
        sys.exit(126)
    try:
        os.execvp(argv[0], argv)  # noqa: S606  running the caller's program is the purpose
    except OSError as error:
        return f"Cannot run {argv[0]}: {error.strerror}."


if __name__ == "__main__":
    print(main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4:]), file=sys.stderr)
    sys.exit(127)
