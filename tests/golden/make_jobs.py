"""Make fixtures/jobs anew: jobs that were killed in the middle, and how they ended.

    python tests/golden/make_jobs.py --batchsim PYTHON [NAME]...

PYTHON is an interpreter that has the batchsim to make them with, such as `.venv/bin/python` of
another checkout. Everything is done by its command line, in processes of their own (see driver.py).
A job is begun, killed, and packed as it lies. Then a copy of it is asked where it stands,
continued,
and asked again. What was printed goes into the transcript, and what was written stands beside it.

    NAME/job.tar.gz        the folder in which it was killed
    NAME/transcript.txt    commands in a copy of that folder, and what they print
    NAME/results.jsonl     its results, and its ledger beside them, where they are not those of
                           `whole`, the same run without a kill
"""

from __future__ import annotations

import argparse
import gzip
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from driver import HOST
from replay import (
    GONE,
    NOWHERE,
    continues,
    done_by_hand,
    entries,
    parsed,
    parts,
    spoken,
    unpack,
    write_journal,
)
from served import KEYS, Served, fill
from service import EPOCH, Service

HERE = Path(__file__).resolve().parent
JOBS = HERE.parents[1] / "fixtures" / "jobs"

STATUS = "batchsim status results.jsonl --json"
RESULTS = "batchsim results results.jsonl --json"
FAILED = "batchsim results results.jsonl --failed"
INDEX = "batchsim jobs --json"
FAKE = "batchsim run --fake input.jsonl -o results.jsonl --json"
INVALID = "batchsim run --fake invalid.jsonl -o results.jsonl --skip-invalid --delete-remote --json"
CAPPED = "batchsim run --real input.jsonl -o results.jsonl --max-cost 0.0018 --json"
ADOPTED = "batchsim adopt --real batch_golden_1 batch_golden_2 -o results.jsonl --json"
HURRIED = "batchsim run --real input.jsonl -o results.jsonl --finish-sync --deadline 1h --json"
LOST = "batchsim run --real input.jsonl -o results.jsonl --json"
RECOVER = "batchsim recover input.jsonl -o results.jsonl --json"
AGAIN = "batchsim run --real few.jsonl -o few.results.jsonl --alone"
LEARNED = "batchsim run --real few.jsonl -o few.results.jsonl"
WATCH = "batchsim watch results.jsonl --json"
ESTIMATE = "batchsim estimate input.jsonl --json"
VALIDATE = "batchsim validate invalid.jsonl --json"
CANCEL = "batchsim cancel results.jsonl --json"
QUEUES = "cat state/batchsim/queues.json"
LISTS = ("files", "batches")
ALONE = " --alone"
"""The option that lets a copy of a job directory continue."""


@dataclass(frozen=True)
class Job:
    """A job: the commands that make it, each with its `--stop` or "", and those of
    its transcript.
    """

    made: tuple[tuple[str, str], ...]
    asked: tuple[str, ...]
    is_real: bool = False
    input: str = "input.jsonl"


def killed(where: str, command: str = FAKE) -> Job:
    return Job(((command, where),), (STATUS, RESULTS, INDEX, command, STATUS, FAILED, INDEX))


MADE = {
    "whole": Job(
        ((FAKE, ""), ("rm results.jsonl", "")),
        (ESTIMATE, STATUS, RESULTS, FAKE, INDEX, CANCEL, WATCH),
    ),
    "planned": killed("journal:Planned:1:after"),
    "uploading": killed("journal:UploadIntended:2:after"),
    "creating": killed("journal:CreateIntended:3:after"),
    "created": killed("journal:Created:3:before"),
    "watching": killed("journal:Observed:2:after"),
    "downloaded": killed("journal:Downloaded:2:after"),
    "assembled": killed("journal:Finished:1:before"),
    "cancelled": Job(
        (
            (FAKE, "journal:Observed:2:after"),
            (CANCEL, ""),
            (FAKE, "journal:CancelAsked:2:after"),
        ),
        (STATUS, FAKE, STATUS),
    ),
    "skipping": Job(
        ((INVALID, "journal:RemoteDeleted:2:after"),),
        (VALIDATE, STATUS, INVALID, STATUS, FAILED),
        input="invalid.jsonl",
    ),
    "capped": Job(
        (
            (LEARNED, ""),
            ("rm few.results.jsonl", ""),
            ("rm few.results.jsonl.job", ""),
            (CAPPED, "request:POST /batches:3"),
        ),
        (
            STATUS,
            CAPPED + ALONE,
            STATUS,
            FAILED,
            QUEUES,
            AGAIN,
            "cat few.results.jsonl.job/ledger.jsonl",
        ),
        is_real=True,
    ),
    "adopted": Job(
        ((ADOPTED, "request:half a file:4"),),
        (STATUS, ADOPTED + ALONE, STATUS, FAILED),
        is_real=True,
    ),
    "hurried": Job(
        ((HURRIED, "request:POST /chat/completions:12"),),
        (STATUS, HURRIED + ALONE, STATUS, FAILED),
        is_real=True,
    ),
    "lost": Job(
        ((LOST, "request:POST /batches:3"), ("rm results.jsonl.job", "")),
        (RECOVER, STATUS, LOST + ALONE, STATUS, FAILED),
        is_real=True,
    ),
}

SERVED = (
    "time",
    *(f"OPENAI_API_KEY={key} batchsim {what} list --all --json" for key in KEYS for what in LISTS),
    *(f"contents {key}" for key in KEYS),
    "advance 172800",
    *(f"OPENAI_API_KEY={key} batchsim batches list --all --json" for key in KEYS),
    *(f"contents {key}" for key in KEYS),
)
"""The transcript of the served folder."""


def main() -> int:
    """Make the jobs that are named, or all; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--batchsim", type=Path, required=True, metavar="PYTHON")
    parser.add_argument("names", nargs="*", metavar="NAME")
    options = parser.parse_args()
    for name in options.names or (*MADE, "served", "every-kind"):
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(os.path.realpath(temporary))
            if name == "served":
                make_served(JOBS / name, folder, options.batchsim)
            elif name == "every-kind":
                tell_of_every_kind(JOBS / name, folder, options.batchsim)
            else:
                make(name, MADE[name], folder, options.batchsim)
        size = sum(path.stat().st_size for path in (JOBS / name).iterdir())
        sys.stdout.write(f"{name}: {size:,} bytes\n")
    return 0


def make(name: str, job: Job, folder: Path, python: Path) -> None:
    """Make one job and its transcript."""
    home = JOBS / name
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    begun, copied = folder / "begun", folder / "copied"
    begun.mkdir()
    shutil.copy(JOBS / job.input, begun)
    if job.is_real:
        write_script(name, begun)
    for command, where in job.made:
        if command.startswith("rm "):
            remove(begun / command.split()[1])
            continue
        code, *told = carry_out(command, begun, python, where=where, is_real=job.is_real)
        assert code == (-signal.SIGKILL if where else 0), (command, code, *told)
    (home / "job.tar.gz").write_bytes(packed(begun))
    copied.mkdir()
    unpack(home / "job.tar.gz", copied)
    ask(job.asked, home, copied, python, is_real=job.is_real)
    for source in parts(copied):
        common = JOBS / "whole" / source.name
        if name == "whole" or common.read_bytes() != source.read_bytes():
            shutil.copyfile(source, home / source.name)


def make_served(home: Path, folder: Path, python: Path) -> None:
    """Make a served folder, kill its server, and make its transcript."""
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    begun, copied = folder / "begun", folder / "copied"
    lines = (JOBS / "input.jsonl").read_bytes().splitlines(keepends=True)
    good = b"".join(line for line in lines if b'"gpt-4o-mini"' in line)
    with Served(begun / "data", python) as served:
        fill(served, good, (JOBS / "invalid.jsonl").read_bytes())
    (home / "job.tar.gz").write_bytes(packed(begun))
    copied.mkdir()
    unpack(home / "job.tar.gz", copied)
    with Served(copied / "data", python) as served:
        ask(SERVED, home, copied, python, served=served)


def tell_of_every_kind(home: Path, folder: Path, python: Path) -> None:
    """Make the transcript of the job whose journal is kept as text."""
    write_journal(folder, entries(home / "journal.txt"))
    ask((STATUS,), home, folder, python)


def ask(commands: Iterable[str], home: Path, folder: Path, python: Path, **options: Any) -> None:
    """Run the commands in the folder and write the transcript."""
    told, is_continued = [], False
    for command in commands:
        is_continued = is_continued or continues(command)
        code, printed, _ = carry_out(command, folder, python, **options)
        words = spoken(printed, code, folder, is_continued=is_continued)
        told.append(f"$ {command}\n{words}\n")
    (home / "transcript.txt").write_text("\n".join(told), "utf-8")


def carry_out(
    command: str,
    folder: Path,
    python: Path,
    *,
    where: str = "",
    is_real: bool = False,
    served: Served | None = None,
) -> tuple[int, str, str]:
    """Run one command; return its exit code, its stdout and its stderr."""
    printed = done_by_hand(command, folder, served)
    if printed is not None:
        return 0, printed, ""
    variables, arguments = parsed(command)
    if served is not None:
        variables["OPENAI_BASE_URL"] = served.base_url
    inherited = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    stop = ["--stop", where] if where else []
    service = ["--service"] if is_real else []
    done = subprocess.run(
        [python, HERE / "driver.py", *stop, *service, "--", *arguments],
        cwd=folder,
        env={**variables, **inherited, "XDG_STATE_HOME": str(folder / "state")},
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stdout, done.stderr


def remove(path: Path) -> None:
    """Remove a file or a folder."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


def packed(folder: Path) -> bytes:
    """Return the folder as a tar archive, without names of this machine."""
    for holder in folder.glob("*.job/holder.json"):
        assert json.loads(holder.read_bytes())["host"] == HOST
        holder.write_text(json.dumps({"pid": GONE, "host": HOST}))
    for path in (*folder.glob("*.job/command.json"), *folder.glob("state/batchsim/jobs/*")):
        path.write_text(path.read_text("utf-8").replace(str(folder), NOWHERE), "utf-8")
    told = io.BytesIO()
    with tarfile.open(fileobj=told, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                assert str(folder).encode() not in path.read_bytes(), path
            entry = archive.gettarinfo(path, path.relative_to(folder).as_posix())
            entry.uid = entry.gid = entry.mtime = 0
            entry.uname = entry.gname = ""
            with path.open("rb") if path.is_file() else io.BytesIO() as content:
                archive.addfile(entry, content)
    return gzip.compress(told.getvalue(), mtime=0)


def write_script(name: str, folder: Path) -> None:
    """Write the script of the service, and the batches that another tool made there before."""
    script: dict[str, object] = {
        "queues": {"gpt-4.1-mini": {"lines": 3, "tokens": 45}},
        "refusals": {"line-1": [500], "line-5": [400], "line-11": [429, 503]},
    }
    if name == "lost":
        script["courses"] = {"gpt-4.1": ["failed"]}
        script |= {"silent": ["line-3"], "doubled": ["line-2"]}
    if name == "hurried":
        models = ("gpt-4o", "gpt-4o-mini", "gpt-4.1", "gpt-4.1-mini")
        script = {"courses": {model: ["held"] for model in models}}
    if name == "adopted":
        script = {"courses": {"gpt-4o": ["expired"]}, "refusals": {"line-1": [500]}}
    path = folder / "service.json"
    path.write_text(json.dumps(script), "utf-8")
    lines = (folder / "input.jsonl").read_text("utf-8").splitlines(keepends=True)
    if name == "capped":
        few = [line for line in lines if '"gpt-4.1-mini"' in line]
        (folder / "few.jsonl").write_text("".join(few), "utf-8")
    if name == "adopted":
        service = Service(folder, lambda: EPOCH)
        for model in ("gpt-4o-mini", "gpt-4o"):
            text = "".join(line for line in lines if f'"{model}"' in line)
            body = {"endpoint": "/v1/chat/completions", "metadata": {"made_by": "another tool"}}
            file = service.add_file(f"{model}.jsonl", "batch", text)
            service.create({**body, "input_file_id": file["id"]})
        service.save()


if __name__ == "__main__":
    sys.exit(main())
