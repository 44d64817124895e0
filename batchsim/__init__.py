"""batchsim: the OpenAI Batch API in your process, and a runner for the real one.

Everything named here is imported when it is first used, so `import batchsim` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = False  # that of typing, the import of which would cost more than all else here
if TYPE_CHECKING:
    from typing import Any

    from batchsim.backends import Backend as Backend
    from batchsim.backends import Page as Page
    from batchsim.backends.fake import FakeBackend as FakeBackend
    from batchsim.backends.openai import OpenAIBackend as OpenAIBackend
    from batchsim.clock import Clock as Clock
    from batchsim.clock import ScaledClock as ScaledClock
    from batchsim.clock import SystemClock as SystemClock
    from batchsim.clock import VirtualClock as VirtualClock
    from batchsim.domain.batches import Batch as Batch
    from batchsim.domain.files import File as File
    from batchsim.domain.limits import Limits as Limits
    from batchsim.domain.lines import RequestLine as RequestLine
    from batchsim.domain.lines import ResultLine as ResultLine
    from batchsim.library.requests import Request as Request
    from batchsim.library.results import Result as Result
    from batchsim.library.results import Results as Results
    from batchsim.library.run import run as run
    from batchsim.runner.policy import Policy as Policy
    from batchsim.testing import strategies as strategies
    from batchsim.testing.intercept import intercept as intercept
    from batchsim.testing.pipeline_check import check_pipeline as check_pipeline

__version__ = "0.1.0"

_HOMES = {  # each name and the module that has it, or that it is
    "Backend": "batchsim.backends",
    "Batch": "batchsim.domain.batches",
    "Clock": "batchsim.clock",
    "FakeBackend": "batchsim.backends.fake",
    "File": "batchsim.domain.files",
    "Limits": "batchsim.domain.limits",
    "OpenAIBackend": "batchsim.backends.openai",
    "Page": "batchsim.backends",
    "Policy": "batchsim.runner.policy",
    "Request": "batchsim.library.requests",
    "RequestLine": "batchsim.domain.lines",
    "Result": "batchsim.library.results",
    "ResultLine": "batchsim.domain.lines",
    "Results": "batchsim.library.results",
    "ScaledClock": "batchsim.clock",
    "SystemClock": "batchsim.clock",
    "VirtualClock": "batchsim.clock",
    "check_pipeline": "batchsim.testing.pipeline_check",
    "intercept": "batchsim.testing.intercept",
    "run": "batchsim.library.run",
    "strategies": "batchsim.testing.strategies",
}

__all__ = [  # noqa: PLE0604 - the table above is the one list of names
    *_HOMES,
    "__version__",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'batchsim' has no attribute '{name}'")
    home = import_module(_HOMES[name])
    return getattr(home, name, home)


def __dir__() -> list[str]:
    return list(__all__)
