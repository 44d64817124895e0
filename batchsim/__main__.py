"""The command line: `batchsim`, and `python -m batchsim`.

What it stands on is imported here, where Ctrl-C must not show a traceback either.
"""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line and exit with its code."""
    try:
        from batchsim.cli import main
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        sys.exit(130)
    main()


if __name__ == "__main__":
    main()
