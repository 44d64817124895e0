"""How much the campaigns do: a sample in every run of the tests, all of it by `make campaigns`."""

import os

IS_FULL = os.environ.get("BATCHSIM_CAMPAIGNS") == "full"


def sized(*, full: int, sample: int) -> int:
    """How many: hours, examples, kills."""
    return full if IS_FULL else sample
