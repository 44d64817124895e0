"""`batchsim.run`: requests in, Results out.

The runner does the work and keeps the job (batchsim.runner.run); this module finds the
job's files and writes Request values as lines. A job without a name is named after its lines and
the service, so that the same call finds it again and pays for nothing twice. Only a job of a
simulated service in memory is not kept.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar, Unpack, overload

from batchsim.backends import Backend
from batchsim.domain.limits import Limits
from batchsim.domain.validation.custom_ids import CustomIds
from batchsim.errors import UsageError
from batchsim.library.job_location import PathLike, locate_job
from batchsim.library.requests import Request
from batchsim.library.response_models import ResponseModels
from batchsim.library.results import Results
from batchsim.runner.job import RequestLike
from batchsim.runner.job.directory import as_line
from batchsim.runner.policy import Policy
from batchsim.runner.progress import Progress, Report
from batchsim.runner.run import run as run_job
from batchsim.runner.webhook_notices import Notices

if TYPE_CHECKING:
    from pydantic import BaseModel

    Parsed = TypeVar("Parsed", bound=BaseModel | None)
    Model = TypeVar("Model", bound=BaseModel)

Lines = PathLike | Iterable[Request[Any] | RequestLike]


class JobOptions(TypedDict, total=False):
    """The options that `run` hands on to the runner: see batchsim.runner.run."""

    limits: Limits | None
    supports: Callable[[str], bool] | None
    metadata: Mapping[str, str] | None
    policy: Policy | None
    skip_invalid: bool
    observe: Callable[[Progress], None] | None
    notices: Notices | None


class RunOptions(JobOptions, total=False):
    """The same, and the places of the job's files."""

    results: PathLike | None
    job: PathLike | None


@overload
def run(
    requests: Lines,
    backend: Backend,
    *,
    response_format: type[Model],
    **options: Unpack[RunOptions],
) -> Results[Model]: ...


@overload
def run(
    requests: Iterable[Request[Parsed]], backend: Backend, **options: Unpack[RunOptions]
) -> Results[Parsed]: ...


@overload
def run(
    requests: PathLike | Iterable[RequestLike], backend: Backend, **options: Unpack[RunOptions]
) -> Results[None]: ...


def run(
    requests: Lines,
    backend: Backend,
    *,
    response_format: Any = None,
    results: PathLike | None = None,
    job: PathLike | None = None,
    **options: Unpack[JobOptions],
) -> Results[Any]:
    """Run every line of `requests` on `backend`; the results are in input order.

    - `requests`: the path of an input file, or an iterable of lines: Request values, the API's
      objects, or JSON as text or bytes.
    - `response_format`: a pydantic model to parse every answer as. It changes no request: lines
      made by `Request.chat(..., response_format=...)` know theirs and need none here.
    - `results`: the file to write; `<job>/results.jsonl` unless given.
    - `job`: the directory that makes the job continue where it was. Unless given it is
      `<results>.job`, else `<requests>.job` for a file, else `batchsim-<digest>.job` in the present
      folder, the digest being of the lines and the service. So the same call, made again,
      continues the job, or reads its results at no cost if it is finished; for fresh answers
      name another job. With a simulated service in memory nothing needs to be kept: then an
      unnamed job lies in a temporary directory and goes with the Results.
    - `options`: `limits`, `supports`, `metadata`, `policy`, `observe`, ...: see
      batchsim.runner.run.run.

    From asyncio call it in a thread: `await asyncio.to_thread(batchsim.run, requests, backend)`.

    Raises InputError or UsageError when nothing was sent; JournalError when the job directory is in
    use, damaged or belongs to another input; JobIncomplete when the job stopped before its end:
    then the same call continues it.
    """
    if not isinstance(backend, Backend):
        raise UsageError(
            f"the backend is not a Backend but a {type(backend).__name__}",
            hint="give a FakeBackend, an OpenAIBackend, or OpenAIBackend(client) of your client",
        )
    formats = ResponseModels(response_format)
    lines: Path | Iterator[bytes]
    if isinstance(requests, str | os.PathLike):
        lines = Path(requests)
    else:
        lines = _encoded(requests, formats)
    place, lines = locate_job(lines, backend, results, job)

    def again(retries: int) -> Report:
        again_options: JobOptions = {
            **options,
            "policy": replace(options.get("policy") or Policy(), retries=retries),
        }
        return run_job(place.source, backend, results=place.results, job=place.job, **again_options)

    with place.prepared():
        report = run_job(lines, backend, results=place.results, job=place.job, **options)
    return Results(report, place, formats, again)


def _encoded(requests: Iterable[Any], formats: ResponseModels) -> Iterator[bytes]:
    """The lines of an input. Of requests that are the same, all but the first get another id."""
    if isinstance(requests, bytes | Mapping) or not isinstance(requests, Iterable):
        raise UsageError("the requests are neither a path nor an iterable of lines")
    derived = CustomIds()
    repeats: Counter[str] = Counter()
    for number, request in enumerate(requests, start=1):
        if not isinstance(request, Request):
            yield as_line(number, request)
            continue
        formats.add(request)
        if not request.is_derived or derived.add(request.custom_id):
            yield request.to_line()
        else:
            repeats[request.custom_id] += 1
            number_of_this = repeats[request.custom_id] + 1
            yield replace(request, custom_id=f"{request.custom_id}-{number_of_this}").to_line()
