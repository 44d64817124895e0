"""`python -m batchsim.bench PROGRAM ARGUMENT...`: run one program and print its facts."""

from __future__ import annotations

import json
import sys
from importlib import import_module

_HOMES = ("programs", "restoring", "traffic", "parts")


def main() -> None:
    """Run the program that the first argument names."""
    name, *arguments = sys.argv[1:]
    for home in _HOMES:  # the others only when needed: they cost memory
        program = getattr(import_module(f"batchsim.bench.{home}"), name, None)
        if program is not None:
            sys.stdout.write(json.dumps({"facts": program(*arguments)}) + "\n")
            return
    raise SystemExit(f"there is no program {name!r}")


if __name__ == "__main__":
    main()
