"""A simulator with a store, killed at each step that touches the disk."""

import subprocess
import sys
from pathlib import Path


def test_killed_at_any_step_nothing_that_was_said_is_lost(tmp_path):
    program = Path(__file__).with_name("kill_at_every_step.py")
    done = subprocess.run(
        [sys.executable, program, tmp_path], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 30
