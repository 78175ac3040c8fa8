"""Starts a program that dies with the process that asked for it.

Run as a script: `tether.py PARENT_PID COMMAND...`. A test run that is killed cannot
clean up, and a Kratos left behind would keep its ports.
"""

import ctypes
import os
import signal
import sys

# From <linux/prctl.h>. It outlives the exec below.
PR_SET_PDEATHSIG = 1


def main() -> None:
    """Tie this process to its parent, then become the command."""
    parent = int(sys.argv[1])
    command = sys.argv[2:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        # It died before the tie was made.
        sys.exit(1)
    os.execv(command[0], command)  # noqa: S606 - the command is our caller's


if __name__ == "__main__":
    main()
