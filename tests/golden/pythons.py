"""The golden run on every Python from 3.11 on that this machine has: same seed, same bytes.

Run as `python tests/golden/pythons.py`. Each Python gets an environment of its own in .golden, with
the packages that the simulator stands on, from the package registry. Exits with 1 when a digest
differs from the one in digest.txt; a machine with a single Python is told so, and passes.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
ENVIRONMENTS = ROOT / ".golden"
NEEDS = ("orjson", "genai-prices")
PLACES = (
    "~/.pyenv/versions/*/bin/python3",
    "~/.local/share/uv/python/*/bin/python3",
    "~/.asdf/installs/python/*/bin/python3",
    "/opt/python/*/bin/python3",
    "/opt/hostedtoolcache/Python/*/*/bin/python3",
    "/usr/local/bin/python3.[0-9]*",
    "/usr/bin/python3.[0-9]*",
)
"""Where interpreters lie that are not on the PATH."""


def main() -> int:
    """The exit code."""
    wanted = (HERE / "digest.txt").read_text("ascii").strip()
    found = interpreters()
    wrong = 0
    for version, path in sorted(found.items()):
        told = digest_on(version, path)
        verdict = "the same bytes" if told == wanted else f"DIFFERS: {told}"
        wrong += told != wanted
        print(f"golden run on Python {version[0]}.{version[1]}: {verdict}")  # noqa: T201
    if len(found) < 2:
        print("golden run: this machine has a single Python from 3.11 on, so no other was compared")  # noqa: T201
    return 1 if wrong else 0


def interpreters() -> dict[tuple[int, int], str]:
    """One interpreter for each minor version, that of this program first."""
    found = {sys.version_info[:2]: sys.executable}
    for path in candidates():
        version = version_of(path)
        if version is not None and version >= (3, 11):
            found.setdefault(version, path)
    return found


def candidates() -> Iterator[str]:
    """Paths that may be interpreters."""
    for minor in range(11, 20):
        if path := shutil.which(f"python3.{minor}"):
            yield path
    for pattern in PLACES:
        expanded = Path(pattern).expanduser()
        rest = expanded.relative_to(expanded.anchor)
        yield from sorted(map(str, Path(expanded.anchor).glob(str(rest))))


def version_of(path: str) -> tuple[int, int] | None:
    """What Python a path is; None for what is none, such as a shim of a version that is not set."""
    script = "import sys, venv, ensurepip; print(*sys.version_info[:2])"
    try:
        told = subprocess.run([path, "-c", script], capture_output=True, text=True, timeout=30)
        major, minor = map(int, told.stdout.split())
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None
    return major, minor


def digest_on(version: tuple[int, int], path: str) -> str:
    """What the golden run says there, or why it does not."""
    folder = ENVIRONMENTS / "{}.{}".format(*version)
    python = folder / "bin" / "python"
    steps = [
        [path, "-m", "venv", str(folder)],
        [str(python), "-m", "pip", "install", "-qq", *NEEDS],
    ]
    if version == sys.version_info[:2]:
        python, steps = Path(sys.executable), []
    elif (folder / "ready").exists():
        steps = []
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "random"}
    for step in steps:
        done = subprocess.run(step, capture_output=True, text=True)
        if done.returncode:
            return f"cannot be set up: {done.stderr.strip()[-300:]}"
    if steps:
        (folder / "ready").touch()
    run = [str(python), "-W", "error", str(HERE / "run.py")]
    told = subprocess.run(run, capture_output=True, text=True, env=environment)
    return told.stdout.split()[0] if told.returncode == 0 else told.stderr.strip()[-300:]


if __name__ == "__main__":
    sys.exit(main())
