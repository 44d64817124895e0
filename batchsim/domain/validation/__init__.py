"""Validation of input files, as the service does it and as a job needs it.

In go blocks of lines (batchsim.jsonl). Out come the valid lines (RequestLines) and the errors that
the API would report (InvalidLine), in its own words. Then there is help for people: the cause of
an error, the column and the remedy, and advice on input that the API accepts.
"""

from batchsim.domain.validation.advice import Advice
from batchsim.domain.validation.batch_errors import INPUT_ERRORS
from batchsim.domain.validation.custom_ids import CustomIds
from batchsim.domain.validation.diagnosis import (
    hint_for,
    is_about_one_batch,
    shown,
    why_unreadable,
    wrong_format,
)
from batchsim.domain.validation.input_file import InputRules, InvalidLine, embedding_inputs

__all__ = [
    "INPUT_ERRORS",
    "Advice",
    "CustomIds",
    "InputRules",
    "InvalidLine",
    "embedding_inputs",
    "hint_for",
    "is_about_one_batch",
    "shown",
    "why_unreadable",
    "wrong_format",
]
