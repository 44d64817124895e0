"""Folders of this user that batchsim writes to."""

from __future__ import annotations

import os
from pathlib import Path


def state_folder() -> Path:
    """Where batchsim keeps what it knows of this user's work, made or not."""
    home = os.environ.get("XDG_STATE_HOME", "")
    base = Path(home) if Path(home).is_absolute() else Path.home() / ".local" / "state"
    return base / "batchsim"
