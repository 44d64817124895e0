"""A journal that is lost or damaged after a kill: no line is paid for twice, and nobody is left
guessing.

At a moment of the job the journal and its write-ahead log are kept as a kill would leave them;
after
the run has died, they are put back with one thing wrong.
"""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from batchsim.backends.fake import FakeBackend
from batchsim.domain.limits import Limits
from batchsim.errors import JobIncomplete, JournalError
from batchsim.runner.run import run

LINES = [f"id-{number}" for number in range(6)]
LIMITS = Limits(requests_per_batch=2)
MOMENTS = {
    "planned": "6 lines are valid",
    "uploading": "uploading",
    "created": "created batch",
    "one downloaded": "downloaded",
    "one collected": "have a good result",
}

Harm = Callable[[bytes, bytes], tuple[bytes | None, bytes | None]]
"""The database and its log as they were -> as they are put back; None for a file that is missing.
"""


def cut(part: int) -> Harm:
    return lambda database, log: (database[: len(database) * part // 8], log)


def flipped(part: int) -> Harm:
    def harm(database: bytes, log: bytes) -> tuple[bytes, bytes]:
        where = len(database) * part // 8 + 31
        return database[:where] + bytes([database[where] ^ 8]) + database[where + 1 :], log

    return harm


def cut_log(part: int) -> Harm:
    return lambda database, log: (database, log[: len(log) * part // 8])


def flipped_log(part: int) -> Harm:
    def harm(database: bytes, log: bytes) -> tuple[bytes, bytes]:
        where = len(log) * part // 8 + 31
        return database, log[:where] + bytes(byte ^ 8 for byte in log[where : where + 1]) + log[
            where + 1 :
        ]

    return harm


HARMS: dict[str, Harm] = {
    "unharmed": lambda database, log: (database, log),
    "no log": lambda database, log: (database, None),
    "an empty log": lambda database, log: (database, b""),
    "no database": lambda database, log: (None, log),
    "an empty database": lambda database, log: (b"", log),
    "an empty database and no log": lambda database, log: (b"", None),
    "neither": lambda database, log: (None, None),
    "a database of NULs": lambda database, log: (bytes(len(database)), log),
    **{f"cut at {part}/8": cut(part) for part in range(1, 8)},
    **{f"a bit flipped at {part}/8": flipped(part) for part in range(8)},
    **{f"the log cut at {part}/8": cut_log(part) for part in range(1, 8)},
    **{f"a bit of the log flipped at {part}/8": flipped_log(part) for part in range(8)},
}


def put(path: Path, content: bytes | None) -> None:
    """Write into the file that is there: another one would be another site."""
    if content is None:
        path.unlink(missing_ok=True)
        return
    with path.open("r+b" if path.exists() else "wb") as stream:
        stream.write(content)
        stream.truncate()


@pytest.mark.parametrize("harm", HARMS)
@pytest.mark.parametrize("moment", MOMENTS)
def test_no_shard_is_paid_twice_whatever_became_of_the_journal(build, moment, harm):
    backend = FakeBackend(seed=1, pacing="quick")
    backend.lasts = True  # as a real service, it goes on when this process is gone
    source = build.input([build.chat(name) for name in LINES])
    journal, log = build.job / "journal.db", build.job / "journal.db-wal"
    kept = {}

    def kill(progress):
        if MOMENTS[moment] in progress.message:
            kept.update(database=journal.read_bytes(), log=log.read_bytes())
            raise build.Killed

    with pytest.raises(build.Killed):
        run(source, backend, results=build.results, limits=LIMITS, observe=kill)
    database, wal = HARMS[harm](kept["database"], kept["log"])
    put(journal, database)
    put(log, wal)
    put(build.job / "journal.db-shm", None)

    stopped, report = None, None
    try:
        report = run(source, backend, results=build.results, limits=LIMITS)
    except (JournalError, JobIncomplete) as error:
        stopped = error
    if report is not None:
        assert report.all_ok
        ids = [json.loads(line)["custom_id"] for line in build.results.read_bytes().splitlines()]
        assert ids == LINES
    elif isinstance(stopped, JournalError):
        assert harm != "unharmed"
        assert str(build.job) in str(stopped)
        assert stopped.hint
    else:
        assert "another runner" in str(stopped)
    assert len(build.batches_of(backend)) <= 3


def test_an_empty_journal_in_a_used_directory_names_the_way_out(build):
    backend = FakeBackend(seed=1, pacing="quick")
    source = build.input([build.chat(name) for name in LINES])
    run(source, backend, results=build.results)
    build.results.unlink()
    put(build.job / "journal.db", b"")
    with pytest.raises(JournalError, match="is lost or empty") as caught:
        run(source, backend, results=build.results)
    assert "batchsim recover" in caught.value.hint
    assert not (build.job / "journal.db").read_bytes(), "and nothing is changed"
