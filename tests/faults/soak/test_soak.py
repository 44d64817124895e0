"""The soak with a small job; large ones are run by hand: python tests/faults/soak
--lines 1000000.
"""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_a_job_that_is_killed_again_and_again_has_every_line_in_order():
    options = ["--lines", "2000", "--shard-lines", "100", "--kills", "2", "--seconds", "2"]
    command = [sys.executable, str(Path(__file__).parent), *options]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stderr
    assert "2,000 lines in order: {'ok': 2000}" in ended.stdout
    assert "sent again" in ended.stdout
    assert "at most 3 batches live at once" in ended.stdout
