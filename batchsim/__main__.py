"""The command line: `batchsim`, and `python -m batchsim`.

The imports happen inside `main`, so that Ctrl-C shows no traceback while they run.
"""

import gc
import sys


def main() -> None:
    """Run the command line and exit with its code. For a process that does nothing else."""
    # Imported modules stay to the end, so the garbage collector need not look at them, least of
    # all at the exit. That saves a seventh of the cost of `batchsim --help`.
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
