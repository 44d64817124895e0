"""The program that restores the order of results, beside the least that this can cost."""

from __future__ import annotations

import os
import sys
import tempfile
from array import array
from collections.abc import Iterable, Iterator
from inspect import signature
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from bench.measure import megabytes
from bench.moved import inner
from bench.programs import Facts, parse, timed


def restore(path: str, ids: str = "planned") -> Facts:
    """Match every result of a finished job with its line again, and write them in input order.

    The custom_ids are those that planning kept, or with `read` those of the input, as in a process
    that continues a job. `floor` is the CPU time of an orjson pass over the result files, `least`
    that of matching their lines with the ids and moving them one by one. The peak is this
    program's own, not that of the job which it runs first if there is none.
    """
    import resource
    import subprocess

    results = Path(f"{Path(path).name}.restored")
    directory = inner("JobDirectory")(Path(f"{results}.job"))
    if not results.exists():
        job = [sys.executable, "-m", "batchsim", "run", "--fake", path, "-o", str(results)]
        subprocess.run(job, check=True, capture_output=True)
    with inner("Journal")(directory.journal) as journal:
        shards = inner("fold")(journal.entries()).shards
    plans = [shard.plan for shard in shards.values()]

    def read_ids(number: int) -> Iterator[str]:
        with inner("ShardContent")(Path(path), shards[number].plan) as content:
            yield from inner("custom_ids_in")(content.buffered())

    spool = inner("CustomIdSpool")()
    if ids == "planned":
        for number in shards:
            custom_ids = read_ids(number)
            while some := list(islice(custom_ids, 1_000)):
                spool.add(number, some)
            spool.finish(number)
    collect, assemble = inner("collect"), inner("assemble")
    ids_name = list(signature(assemble).parameters)[-1]  # it was `put_aside` once
    facts: Facts = {}
    with timed(facts):
        for number, shard in shards.items():
            collect(
                shard,
                spool.of_shard(number) if spool.holds(number) else read_ids(number),
                directory,
            )
        lines = sum(plan.lines for plan in plans)
        assemble(plans, directory, results, lines=lines, batches={}, **{ids_name: spool})
    facts["peak"] = megabytes(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    outputs = {number: directory.file(number, inner("Source").OUTPUT) for number in shards}
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
    """Bring result lines into the order of the ids, and do nothing else."""
    from msgspec.json import Decoder

    from bench.parts import Named

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
