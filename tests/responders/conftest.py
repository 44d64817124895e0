"""Builders of requests and occasions."""

from __future__ import annotations

import hashlib

import pytest

from batchsim.domain.lines import RequestLine
from batchsim.responders import Occasion


@pytest.fixture
def occasion():
    return Occasion(1_767_225_600, hashlib.blake2b(b"golden").digest())


@pytest.fixture
def occasions():
    """As many different occasions as one asks for, at the same time."""

    def make(count):
        return [
            Occasion(1_767_225_600, hashlib.blake2b(b"%d" % index).digest())
            for index in range(count)
        ]

    return make


@pytest.fixture
def line():
    def make(url, body, custom_id="request-1"):
        return RequestLine(1, custom_id, url, body.get("model"), body)

    return make


@pytest.fixture
def chat(line):
    """A chat request of gpt-4o-mini; `model` and further parameters replace or add to it."""

    def make(content="Hello", **parameters):
        body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": content}]}
        return line("/v1/chat/completions", {**body, **parameters})

    return make


@pytest.fixture
def response(line):
    """A request to /v1/responses of gpt-5-nano."""

    def make(value="Hello", **parameters):
        return line("/v1/responses", {"model": "gpt-5-nano", "input": value, **parameters})

    return make
