"""What the set-up says on a Debian whose Python lacks venv."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / ".ci" / "install-venv"
PACKAGE = f"python{sys.version_info[0]}.{sys.version_info[1]}-venv"


@pytest.fixture
def install(tmp_path):
    """Run the script as a user of this number, with an apt-get that exits so, or none for None."""

    def run(user, apt_get):
        programs = {"id": f"echo {user}"}
        if apt_get is not None:
            log = tmp_path / "log"
            programs["apt-get"] = f'echo "$@" >>{log}; [ "$1" = update ] || exit {apt_get}'
        for name, body in programs.items():
            (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
            (tmp_path / name).chmod(0o755)
        environment = {"PATH": str(tmp_path), "PYTHON": sys.executable}
        done = subprocess.run(
            ["/bin/sh", str(SCRIPT)], env=environment, capture_output=True, text=True, check=False
        )
        log = tmp_path / "log"
        return done, log.read_text() if log.exists() else ""

    return run


@pytest.mark.skipif(os.name != "posix", reason="the script is for a POSIX shell")
class TestVenvIsMissing:
    def test_root_gets_it_installed(self, install):
        done, asked = install(user=0, apt_get=0)
        assert (done.returncode, done.stderr) == (0, "")
        assert asked == f"update -qq\ninstall -y -qq {PACKAGE}\n"

    @pytest.mark.parametrize(("user", "apt_get"), [(0, 100), (0, None), (1000, 0)])
    def test_who_cannot_install_it_is_told_how(self, install, user, apt_get):
        done, asked = install(user=user, apt_get=apt_get)
        assert done.returncode == 1
        assert done.stderr.endswith(f"sudo apt-get install {PACKAGE}\n")
        assert (asked != "") == (user == 0 and apt_get is not None)
