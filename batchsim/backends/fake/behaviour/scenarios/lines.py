"""The scenarios of lines and of the files with their results: bad, missing, doubled, late."""

from __future__ import annotations

from dataclasses import replace

from batchsim.backends.fake.behaviour.faults import Faults
from batchsim.backends.fake.behaviour.line_faults import LineFault
from batchsim.backends.fake.behaviour.scenarios.scenario import Scenario


def _lines(fault: str, share: float, *, status: int | None = None) -> Faults:
    some = LineFault(fault, share=share, status=status)
    return Faults(lines=(replace(some, line=1, batch=1, share=1.0), some))


LINES = (
    Scenario(
        "some_failed", "line 1 and a fifth of the others fail with 500", faults=_lines("error", 0.2)
    ),
    Scenario("all_failed", "every line fails with 500", faults=_lines("error", 1.0)),
    Scenario(
        "not_found_lines",
        "line 1 and a fifth of the others fail with 404, though the model exists",
        faults=_lines("error", 0.2, status=404),
    ),
    Scenario(
        "timed_out_lines",
        "line 1 and a fifth of the others fail with 504",
        faults=_lines("error", 0.2, status=504),
    ),
    Scenario(
        "unanswered_lines",
        "line 1 and a fifth of the others have no response and the error request_timeout",
        faults=_lines("timed_out", 0.2),
    ),
    Scenario(
        "refusals",
        "the model declines line 1 and a fifth of the others",
        faults=_lines("refusal", 0.2),
    ),
    Scenario(
        "incomplete_answers",
        "the first answer and a fifth of the others stop in the middle",
        faults=_lines("incomplete", 0.2),
    ),
    Scenario(
        "quota_exhausted",
        "the account is empty after two lines of each batch",
        faults=Faults(quota_after=2),
    ),
    Scenario(
        "missing_lines",
        "line 1 and a fifth of the other good ones are missing from the output file",
        faults=_lines("missing", 0.2),
    ),
    Scenario(
        "duplicate_lines",
        "line 1 and a fifth of the other good ones are in the output file twice",
        faults=_lines("doubled", 0.2),
    ),
    Scenario(
        "blank_lines",
        "line 1 and a fifth of the other good ones have status code 0 and no body",
        faults=_lines("blank", 0.2),
    ),
    Scenario(
        "foreign_lines",
        "the output file has lines that nobody asked for (feared)",
        faults=_lines("foreign", 0.2),
    ),
    Scenario(
        "late_output_file",
        "an ended batch names its files half a minute late",
        faults=Faults(result_ids_late_by=30.0),
    ),
    Scenario(
        "output_expired",
        "result files are gone as soon as they are there",
        faults=Faults(results_live_for=0.0),
    ),
)
