"""What a process that serves asks of its operating system."""

from __future__ import annotations

import gc
import os

OPEN_FILES = 65_536
"""Four for each API key whose data are on the disk, and one for each connection."""


def limit_process() -> None:
    """No core dumps (they would hold keys), files for this user only, room for the connections.

    What the system does not offer or allow is left as it is.
    """
    os.umask(0o077)
    try:
        import resource
    except ImportError:  # Windows
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def freeze_imports() -> None:
    """Have Python not look again and again whether what was made so far is still needed: it is.

    A tenth of the cost of a small answer is such looking, most of it at modules. What importing
    them left behind is let go of first: 0.3 MB, which what comes next then need not ask for.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()
