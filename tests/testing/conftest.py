"""What the tests of the in-process doors share: one request, and the HTTP libraries."""

import importlib
import json
import sys

import pytest
from _pytest.pytester import SysModulesSnapshot

from batchsim.backends.fake import FakeBackend

LINE = {
    "custom_id": "request-1",
    "method": "POST",
    "url": "/v1/chat/completions",
    "body": {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "こんにちは"}]},
}


@pytest.fixture
def content():
    """An input file of one request."""
    return json.dumps(LINE).encode() + b"\n"


@pytest.fixture
def backend():
    return FakeBackend(seed=1)


@pytest.fixture(params=["httpx", "httpx2"])
def library(request):
    """An HTTP library whose clients the installed SDK takes."""
    import openai

    library = importlib.import_module(request.param)
    with library.Client() as client:
        try:
            openai.OpenAI(api_key="x", http_client=client)
        except TypeError:
            pytest.skip(f"this release of openai does not take clients of {request.param}")
    return library


@pytest.fixture
def libraries_kept(monkeypatch, pytester):
    """Let a run of pytest inside a test forget the modules of its own suite, and no others.

    It would forget all that it imported first. Compiled modules keep the classes of their first
    import, and other modules hold on to what they took from it: what the second one raises is then
    not what others catch.
    """
    forget = SysModulesSnapshot.restore

    def forget_own(snapshot):
        others = {
            name: module
            for name, module in sys.modules.items()
            if not str(getattr(module, "__file__", None)).startswith(str(pytester.path))
        }
        forget(snapshot)
        for name, module in others.items():
            sys.modules.setdefault(name, module)

    monkeypatch.setattr(SysModulesSnapshot, "restore", forget_own)
