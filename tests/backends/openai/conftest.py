"""OpenAIBackends in front of a service that answers as a test says."""

import importlib
import itertools
import re
import socket
import struct
import threading
from collections import Counter
from contextlib import contextmanager

import pytest

from batchsim.backends.openai import OpenAIBackend
from batchsim.clock import VirtualClock

KEY = "sk-test-0123456789abcdef"


@pytest.fixture(params=["httpx", "httpx2"])
def library(request):
    """The HTTP library beneath the SDK."""
    return pytest.importorskip(request.param)


@pytest.fixture
def backend_answering(library):
    """`backend_answering(handler)` -> a backend whose requests `handler` answers, and their paths
    counted.

    httpx is answered by respx, httpx2 by its own MockTransport: respx does not know it.
    """
    import openai

    clients = []

    def build(handler):
        paths = Counter()

        def counted(request):
            paths[f"{request.method} {request.url.path}"] += 1
            return handler(request)

        if library.__name__ == "httpx":
            respx = importlib.import_module("respx")
            router = respx.MockRouter(assert_all_called=False)
            router.route().mock(side_effect=counted)
            transport = library.MockTransport(router.handler)
        else:
            transport = library.MockTransport(counted)
        http_client = library.Client(transport=transport, follow_redirects=True)
        try:
            client = openai.OpenAI(
                api_key=KEY, base_url="https://service.invalid/v1", http_client=http_client
            )
        except TypeError:
            pytest.skip(f"this release of openai does not take clients of {library.__name__}")
        clients.append(client)
        return OpenAIBackend(client, clock=VirtualClock()), paths

    yield build
    for client in clients:
        client.close()


@pytest.fixture
def made_clients(monkeypatch):
    """The clients of the SDK that are made in this test."""
    import openai

    made = []

    class Remembered(openai.OpenAI):
        def __init__(self, **options):
            super().__init__(**options)
            made.append(self)

    monkeypatch.setattr(openai, "OpenAI", Remembered)
    return made


@pytest.fixture
def redirects_are_refused():
    """Skip where the SDK leaves redirects to the client that it was given."""
    models = importlib.import_module("openai._models")
    if "follow_redirects" not in models.FinalRequestOptions.model_fields:
        pytest.skip("this release of openai leaves redirects to the client that it was given")


@pytest.fixture
def serving_bytes():
    """`with serving_bytes(bytes) as (base_url, requests)`: a real port that answers those bytes to
    all.

    After the bytes the connection is closed, or reset when `reset` is true.
    """

    @contextmanager
    def serving_bytes(answer, *, reset=False):
        requests = []

        def serve(connection):
            requests.append(_read_request(connection))
            connection.sendall(answer)
            if reset:
                at_once = struct.pack("ii", 1, 0)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)

        with _listening(serve) as port:
            yield f"http://127.0.0.1:{port}/v1", requests

    return serving_bytes


@pytest.fixture
def listening_port():
    """`with listening_port(serve) as port`: `serve` is given each connection, in another thread."""
    return _listening


@contextmanager
def _listening(serve):
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept():
            while True:
                connection, _ = listener.accept()
                with connection:
                    if over.is_set():
                        return
                    serve(connection)

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            over.set()
            socket.create_connection(listener.getsockname()).close()
            thread.join()


def _read_request(connection):
    with connection.makefile("rb") as stream:
        head = b"".join(itertools.takewhile(bytes.strip, stream))
        length = re.search(rb"content-length: *(\d+)", head, re.IGNORECASE)
        stream.read(int(length[1]) if length else 0)
    return head
