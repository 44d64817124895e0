"""Start one program and print its cost. Run as a script, with little imported.

A new process is charged with the memory of the one that started it, so this one must be small.
Arguments: a file for stdout, a file for stderr, and the command. Prints exit code, wall seconds,
CPU seconds, the system's share of them, and the
largest resident size.
"""

import os
import sys
from time import perf_counter


def main() -> None:
    """Run the command of the arguments."""
    output, errors, *command = sys.argv[1:]
    started = perf_counter()
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, output, flags, 0o600),
        (os.POSIX_SPAWN_OPEN, 2, errors, flags, 0o600),
    ]
    child = os.posix_spawnp(command[0], command, os.environ, file_actions=actions)
    _, status, usage = os.wait4(child, 0)
    wall = perf_counter() - started
    code = os.waitstatus_to_exitcode(status)
    cpu = usage.ru_utime + usage.ru_stime
    sys.stdout.write(f"{code} {wall} {cpu} {usage.ru_stime} {usage.ru_maxrss}\n")


if __name__ == "__main__":
    main()
