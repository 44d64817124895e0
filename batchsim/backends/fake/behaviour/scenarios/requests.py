"""The scenarios of single requests: errors, lost answers, late effects, stale lists."""

from __future__ import annotations

from dataclasses import replace

from batchsim.backends.fake.behaviour.faults import Faults
from batchsim.backends.fake.behaviour.request_faults import RequestFault
from batchsim.backends.fake.behaviour.scenarios.scenario import Scenario


def _first(fault: str, call: str, *, file: str | None = None, status: int | None = None) -> Faults:
    html = status is not None
    return Faults(
        requests=(RequestFault(fault, call=call, file=file, nth=1, status=status, html=html),)
    )


def _often(*faults: RequestFault, surely: str) -> Faults:
    """Faults that hit a share of the requests, and the first of them the first call of one kind."""
    first = replace(faults[0], call=surely, nth=1, share=1.0)
    return Faults(requests=(first, *faults))


REQUESTS = (
    Scenario(
        "truncated_download",
        "the first reading of an output file ends half-way",
        faults=_first("truncated", "read_file", file="output"),
    ),
    Scenario(
        "rate_limited",
        "the first creation and a third of all requests get 429 with Retry-After: 20",
        faults=_often(
            RequestFault("error", share=1 / 3, status=429, retry_after=20), surely="create_batch"
        ),
    ),
    Scenario(
        "flaky_server",
        "the first look at a batch and a fifth of all requests get 500, and a tenth a reset connection",
        faults=_often(
            RequestFault("error", share=0.2, status=500),
            RequestFault("reset", share=0.1),
            surely="retrieve_batch",
        ),
    ),
    Scenario(
        "html_errors",
        "the first look at a batch and a fifth of all requests get 502 and a web page",
        faults=_often(
            RequestFault("error", share=0.2, status=502, html=True), surely="retrieve_batch"
        ),
    ),
    Scenario(
        "garbled_answers",
        "the first look at a batch and a fifth of all reads get a web page with status 200",
        faults=_often(RequestFault("garbled", call="read", share=0.2), surely="retrieve_batch"),
    ),
    Scenario(
        "slow_answers",
        "the first look at a batch and a fifth of all requests are answered half a minute late",
        faults=_often(RequestFault("delayed", share=0.2, seconds=30.0), surely="retrieve_batch"),
    ),
    Scenario(
        "outage",
        "every request gets 503 from one minute after the start until eleven",
        faults=Faults(requests=(RequestFault("error", status=503, since=60.0, until=660.0),)),
    ),
    Scenario(
        "upload_refused",
        "the first upload gets 413 and a web page, from what stands before the API",
        faults=_first("error", "upload_file", status=413),
    ),
    Scenario(
        "upload_lost",
        "the first upload is stored, but its sender gets no answer",
        faults=_first("reply_lost", "upload_file"),
    ),
    Scenario(
        "reply_lost",
        "the first batch is created, but its creator gets no answer",
        faults=_first("reply_lost", "create_batch"),
    ),
    Scenario(
        "error_after_effect",
        "the first batch is created, but its creator gets a 500",
        faults=_first("error_after_effect", "create_batch"),
    ),
    Scenario(
        "late_create",
        "the first creation gets no answer, and takes effect a minute later",
        faults=_first("late", "create_batch"),
    ),
    Scenario(
        "duplicate_create",
        "the first creation makes two batches, and one is answered",
        faults=_first("duplicated", "create_batch"),
    ),
    Scenario(
        "stale_list",
        "a batch is in the list only a minute after its creation (feared)",
        faults=Faults(stale_list_for=60.0),
    ),
    Scenario(
        "unsorted_list",
        "batches are listed in no order (feared)",
        faults=Faults(unsorted_list=True),
    ),
)
