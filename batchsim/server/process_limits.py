"""Settings of a process that serves."""

import gc
import os

OPEN_FILES = 65_536  # four for each API key with data on disk, and one for each connection


def limit_process() -> None:
    """Forbid core dumps, which would hold keys; keep files private; allow many connections.

    A setting that the system does not offer or allow is left as it is.
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
    """Exempt all objects that exist now from garbage collection.

    Most of them are modules, and looking at them again and again is a tenth of the cost of a small
    answer. Garbage that imports left is collected first: 0.3 MB.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()
