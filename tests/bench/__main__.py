"""`python tests/bench` measures; `program NAME ARGUMENT...` runs one program, `counts FILE` counts.

Nothing else is imported for a program: what is imported here would be measured with it.
"""

import os
import sys

sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120

if __name__ == "__main__":
    if sys.argv[1:2] == ["program"]:
        from bench.programs import main
    elif sys.argv[1:2] == ["counts"]:
        from bench.counting import main
    else:
        from bench.command import bench as main
    main()
