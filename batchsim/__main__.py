"""The command line: `batchsim`, and `python -m batchsim`.

What it stands on is imported here, where Ctrl-C must not show a traceback either.
"""

from __future__ import annotations

import gc
import sys


def main() -> None:
    """Run the command line and exit with its code. For a process that does nothing else."""
    # What is imported here stays to the end: nobody need look, again and again, whether it is
    # still needed, least of all at the exit. That is a seventh of the cost of `batchsim --help`.
    gc.disable()
    try:
        from batchsim.cli import main
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        sys.exit(130)
    gc.freeze()
    gc.enable()
    main()


if __name__ == "__main__":
    main()
