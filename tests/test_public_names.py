import subprocess
import sys

import pytest

import batchsim

HEAVY = (
    "openai",
    "pydantic",
    "httpx",
    "httpx2",
    "rich",
    "click",
    "orjson",
    "sqlite3",
    "genai_prices",
    "hypothesis",
)


def test_the_public_names_are_these() -> None:
    assert sorted(batchsim.__all__) == [
        "Backend",
        "Batch",
        "Clock",
        "FakeBackend",
        "File",
        "Limits",
        "OpenAIBackend",
        "Page",
        "Policy",
        "Request",
        "RequestLine",
        "Result",
        "ResultLine",
        "Results",
        "ScaledClock",
        "SystemClock",
        "VirtualClock",
        "__version__",
        "check_pipeline",
        "intercept",
        "run",
        "strategies",
    ]


@pytest.mark.parametrize("name", batchsim.__all__)
def test_every_public_name_can_be_had(name: str) -> None:
    assert getattr(batchsim, name) is not None
    assert name in dir(batchsim)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        batchsim.nothing  # noqa: B018 - looking it up is the test


def imported_by(statement: str) -> set[str]:
    script = f"{statement}\nimport sys\nprint(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(run.stdout.split())


@pytest.mark.parametrize(
    ("statement", "allowed"),
    [
        ("import batchsim", ()),
        ("import batchsim.cli", ("click",)),
        ("from batchsim import FakeBackend; FakeBackend()", ("orjson", "sqlite3")),
        ("from batchsim import intercept", ("orjson", "sqlite3")),
        ("from batchsim import check_pipeline", ("orjson", "sqlite3")),
        ("from batchsim import Request; Request.chat('a', model='b')", ("orjson",)),
        ("from batchsim import run", ("orjson", "sqlite3")),
    ],
)
def test_heavy_packages_are_imported_late(statement: str, allowed: tuple[str, ...]) -> None:
    assert imported_by(statement) & set(HEAVY) <= set(allowed)
