"""Folders of this user that batchsim writes to."""

import os
from pathlib import Path


def state_folder() -> Path:
    """Return the folder for what batchsim remembers of this user's jobs; it may not exist yet."""
    home = os.environ.get("XDG_STATE_HOME", "")
    base = Path(home) if Path(home).is_absolute() else Path.home() / ".local" / "state"
    return base / "batchsim"
