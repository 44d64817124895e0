"""The program that restores the order of results, beside the least that this can cost."""

from __future__ import annotations

import os
import sys
import tempfile
from array import array
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from batchsim.bench.measure import megabytes
from batchsim.bench.programs import Facts, parse, timed


def restore(path: str, ids: str = "planned") -> Facts:
    """Find the place of every result of a finished job again, and write them in input order.

    The custom_ids are those that planning put aside; those that are `read` come from the input, as
    in a process that goes on with a job. `floor` are the CPU seconds of an orjson pass over the
    result files, `least` those of matching their lines with the ids and moving them one by one. The
    peak is this program's own, not that of the job which it runs first if there is none.
    """
    import resource
    import subprocess

    from batchsim.runner.job.directory import JobDirectory
    from batchsim.runner.job.state import fold
    from batchsim.runner.journal.shard_entries import Source
    from batchsim.runner.journal.store import Journal
    from batchsim.runner.planning.plan import custom_ids_in
    from batchsim.runner.planning.shard_content import ShardContent
    from batchsim.runner.results.assemble import assemble
    from batchsim.runner.results.collect import collect
    from batchsim.runner.results.custom_id_spool import PIECE, CustomIdSpool

    results = Path(f"{path}.restored")
    directory = JobDirectory(Path(f"{results}.job"))
    if not results.exists():
        job = [sys.executable, "-m", "batchsim", "run", "--fake", path, "-o", str(results)]
        subprocess.run(job, check=True, capture_output=True)
    with Journal(directory.journal) as journal:
        shards = fold(journal.entries()).shards
    plans = [shard.plan for shard in shards.values()]

    def read_ids(number: int) -> Iterator[str]:
        with ShardContent(Path(path), shards[number].plan) as content:
            yield from custom_ids_in(content.buffered())

    spool = CustomIdSpool()
    if ids == "planned":
        for number in shards:
            custom_ids = read_ids(number)
            while some := list(islice(custom_ids, PIECE)):
                spool.add(number, some)
            spool.finish(number)
    facts: Facts = {}
    with timed(facts):
        for number, shard in shards.items():
            collect(
                shard,
                spool.of_shard(number) if spool.holds(number) else read_ids(number),
                directory,
            )
        lines = sum(plan.lines for plan in plans)
        assemble(plans, directory, results, lines=lines, batches={}, put_aside=spool)
    facts["peak"] = megabytes(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    outputs = {number: directory.file(number, Source.OUTPUT) for number in shards}
    floors = [parse(str(path)) for path in outputs.values()]
    with (
        tempfile.TemporaryDirectory(dir=".") as folder,
        Path(folder, "moved").open("wb", 1 << 20) as target,
    ):
        least = [
            _match_and_move(path, list(read_ids(number)), target)
            for number, path in outputs.items()
        ]
    return {
        **facts,
        "floor": sum(each["cpu"] for each in floors),
        "least": sum(each["cpu"] for each in least),
    }


def _match_and_move(results: Path, custom_ids: Iterable[str], target: BinaryIO) -> Facts:
    """What bringing result lines into the order of the ids costs at least, lines of any order."""
    from msgspec.json import Decoder

    from batchsim.bench.parts import Named

    places = {custom_id: number for number, custom_id in enumerate(custom_ids)}
    starts, lengths = (array("Q", bytes(8 * len(places))) for _ in range(2))
    decode, facts, start = Decoder(Named).decode, Facts(), 0
    with timed(facts), results.open("rb") as stream:
        for line in stream:
            place = places[decode(line).custom_id]
            starts[place], lengths[place] = start, len(line)
            start += len(line)
        for start, length in zip(starts, lengths, strict=True):
            target.write(os.pread(stream.fileno(), length, start))
    return facts
