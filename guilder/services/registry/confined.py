"""Runs a command with bounds that it cannot widen: `confined PARENT MEMORY SECONDS COMMAND…`.

The id of who starts it, memory in bytes, processor time in seconds. Where the system can, the
command dies with whoever started it, so that a killed registry leaves no suite behind that goes on
knocking at an edition.
"""

import ctypes
import os
import resource
import signal
import sys
from typing import Final

PR_SET_PDEATHSIG: Final = 1
PR_SET_NO_NEW_PRIVS: Final = 38
LARGEST_FILE: Final = 256 * 1024 * 1024


def main(arguments: list[str]) -> None:
    """Bound this process, then become the command."""
    parent, memory, seconds, *command = arguments
    if sys.platform == "linux":
        prctl = ctypes.CDLL(None).prctl
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)  # no program it starts is more than it is itself
        if os.getppid() != int(parent):  # who started this was gone before it was tied to him
            sys.exit(2)
    resource.setrlimit(resource.RLIMIT_DATA, (int(memory), int(memory)))
    resource.setrlimit(resource.RLIMIT_CPU, (int(seconds), int(seconds)))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (LARGEST_FILE, LARGEST_FILE))
    os.execv(command[0], command)


if __name__ == "__main__":
    main(sys.argv[1:])
