"""Check that a directory is safe for a job: the user's own, and on a disk of this machine."""

import os
import stat
from pathlib import Path

from batchsim.errors import JournalError

MOUNTS = Path("/proc/self/mountinfo")

_NETWORK = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "9p", "ceph", "glusterfs"})
_NETWORK_PREFIXES = ("fuse.sshfs", "fuse.s3fs", "fuse.gcsfuse", "fuse.rclone", "fuse.glusterfs")


def check_private(directory: Path) -> None:
    """Raise JournalError when other users could change the directory's files."""
    if not hasattr(os, "geteuid"):
        return
    found = directory.stat()
    user = os.geteuid()
    if user not in (0, found.st_uid):
        raise JournalError(
            f"the job directory {directory} belongs to another user",
            hint="name one of your own: --job DIR",
        )
    if found.st_mode & stat.S_IWOTH:
        raise JournalError(
            f"everybody may write into the job directory {directory}",
            hint=f"chmod 700 {directory}, or name another: --job DIR",
        )


def network_type(directory: Path) -> str | None:
    """Return the type of a network file system (Linux only), where locks cannot be relied on."""
    try:
        mounts = MOUNTS.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return None
    place = os.path.realpath(directory)
    best, kind = "", ""
    for line in mounts:
        before, _, after = line.partition(" - ")
        fields = before.split()
        point = _unescaped(fields[4]) if len(fields) > 4 else ""
        if len(point) >= len(best) and (place + "/").startswith(point.rstrip("/") + "/"):
            best, kind = point, after.split(" ", 1)[0]
    is_network = kind in _NETWORK or kind.startswith(_NETWORK_PREFIXES)
    return kind if is_network else None


def _unescaped(text: str) -> str:
    """Decode a path of mountinfo, which has spaces, tabs, newlines and backslashes in octal."""
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, character)
    return text
