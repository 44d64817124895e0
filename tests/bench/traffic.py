"""Programs that start a server, of ours or of fixed answers, and ask it things."""

from __future__ import annotations

import json
import os
import re
import selectors
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from time import perf_counter
from typing import NamedTuple
from urllib.parse import urlsplit

from batchsim.clock import SystemClock
from bench import fixed
from bench.programs import ENDPOINT, Facts, take_batch, timed

KEY = "sk-fake"
CONNECTIONS = 16
BOUNDARY = "batchsim-bench"
_HEAD = (
    f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
    f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="input.jsonl"\r\n'
    "Content-Type: application/octet-stream\r\n\r\n"
).encode()
_TAIL = f"\r\n--{BOUNDARY}--\r\n".encode()


class Server(NamedTuple):
    """A server that runs: where, and as which process."""

    host: str
    port: int
    pid: int

    @property
    def base_url(self) -> str:
        """The address for an OpenAI client."""
        return f"http://{self.host}:{self.port}/v1"

    def cpu(self) -> float:
        """The CPU seconds that it has taken so far, in whole ticks of the system's clock."""
        status = Path(f"/proc/{self.pid}/stat")
        if not status.exists():
            command = ["ps", "-o", "time=", "-p", str(self.pid)]
            told = subprocess.run(command, capture_output=True, check=True, text=True).stdout
            minutes, _, seconds = told.rpartition(":")
            return 60 * float(minutes) + float(seconds)
        user, system = status.read_text().rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    def peak(self) -> float:
        """Its largest resident size so far in MB, or its present one where nothing else is told."""
        status = Path(f"/proc/{self.pid}/status")
        if status.exists():
            peak = next(
                line for line in status.read_text().splitlines() if line.startswith("VmHWM")
            )
            return int(peak.split()[1]) * 1024 / 1e6
        told = subprocess.run(
            ["ps", "-o", "rss=", "-p", str(self.pid)], capture_output=True, check=True
        )
        return int(told.stdout) * 1024 / 1e6


@contextmanager
def server(kind: str, path: str, pacing: str = "instant") -> Iterator[Server]:
    """`batchsim serve` when `kind` is "serve", else the server of fixed answers; until the end."""
    if kind == "serve":
        command = ["-m", "batchsim", "serve", "--port", "0", "--pacing", pacing]
    else:
        command = [fixed.__file__, path]
    process = subprocess.Popen(
        [sys.executable, *command], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        while "OPENAI_BASE_URL=" not in (line := process.stdout.readline()):
            if not line:
                raise SystemExit("the server did not start")
        address = urlsplit(line.strip().partition("=")[2])
        yield Server(address.hostname or "", address.port or 0, process.pid)
    finally:
        process.terminate()
        process.communicate()


def start(path: str, kind: str) -> Facts:
    """From starting the process to its first answer; and its memory then."""
    started = perf_counter()
    with server(kind, path) as served:
        connection = HTTPConnection(served.host, served.port)
        connection.request("GET", "/v1/batches", headers={"Authorization": f"Bearer {KEY}"})
        connection.getresponse().read()
        return {"wall": perf_counter() - started, "server": served.peak()}


def round_trip(path: str, kind: str) -> Facts:
    """The official client takes a batch from upload to results through a port."""
    import openai

    clock = SystemClock()
    facts: Facts = {}
    with server(kind, path) as served:
        with openai.OpenAI(api_key=KEY, base_url=served.base_url, max_retries=0) as official:
            official.batches.list()
            before = served.cpu()
            with timed(facts), Path(path).open("rb") as stream:
                lines = take_batch(official, stream, lambda: clock.sleep(0.01))
        facts |= {"server": served.peak(), "busy": served.cpu() - before}
    if kind == "serve" and lines != _lines(path):
        raise SystemExit(f"{lines} lines came back")
    return facts


def _lines(path: str) -> int:
    with Path(path).open("rb") as stream:
        return sum(1 for _ in stream)


def transfer(path: str, kind: str) -> Facts:
    """Upload and download of one file through a port; the server's growth meanwhile."""
    with server(kind, path) as served:
        connection = HTTPConnection(served.host, served.port)
        connection.request("GET", "/v1/batches", headers={"Authorization": f"Bearer {KEY}"})
        connection.getresponse().read()
        before = served.peak()
        started = perf_counter()
        file_id = upload(connection, Path(path))
        up = perf_counter() - started
        started = perf_counter()
        _download(connection, file_id, Path(f"{path}.down"))
        down = perf_counter() - started
        Path(f"{path}.down").unlink()
        return {"up": up, "down": down, "growth": served.peak() - before}


def upload(connection: HTTPConnection, path: Path) -> str:
    """Send a file as a form, in pieces of 1 MiB; its id."""
    length = len(_HEAD) + path.stat().st_size + len(_TAIL)
    connection.putrequest("POST", "/v1/files")
    connection.putheader("Authorization", f"Bearer {KEY}")
    connection.putheader("Content-Type", f"multipart/form-data; boundary={BOUNDARY}")
    connection.putheader("Content-Length", str(length))
    connection.endheaders(_HEAD)
    with path.open("rb") as stream:
        while piece := stream.read(1 << 20):
            connection.send(piece)
    connection.send(_TAIL)
    identifier: str = _answer(connection)["id"]
    return identifier


def _download(connection: HTTPConnection, file_id: str, path: Path) -> None:
    target = f"/v1/files/{file_id}/content"
    connection.request("GET", target, headers={"Authorization": f"Bearer {KEY}"})
    with connection.getresponse() as response, path.open("wb") as stream:
        shutil.copyfileobj(response, stream, 1 << 20)


def _create(connection: HTTPConnection, file_id: str) -> str:
    body = {"input_file_id": file_id, "endpoint": ENDPOINT, "completion_window": "24h"}
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
    connection.request("POST", "/v1/batches", json.dumps(body), headers)
    identifier: str = _answer(connection)["id"]
    return identifier


def _answer(connection: HTTPConnection) -> dict[str, str]:
    response = connection.getresponse()
    body = response.read()
    if response.status != 200:
        raise SystemExit(f"{response.status}: {body[:500]!r}")
    value: dict[str, str] = json.loads(body)
    return value


def polls(path: str, kind: str, seconds: str = "3") -> Facts:
    """Count the polls of a batch that a server answers in a second to 16 connections at once."""
    with server(kind, path) as served:
        connection = HTTPConnection(served.host, served.port)
        batch_id = _create(connection, upload(connection, Path(path)))
        pollers = _Pollers(served, batch_id)
        pollers.run(0.5)
        before = served.cpu()
        count, _ = pollers.run(float(seconds))
        return {"rate": count / float(seconds), "poll": 1e6 * (served.cpu() - before) / count}


def waits(path: str) -> Facts:
    """Measure the longest wait of any of 16 pollers while a batch of `path` runs."""
    with server("serve", path, pacing="quick") as served:
        connection = HTTPConnection(served.host, served.port)
        batch_id = _create(connection, upload(connection, Path(path)))
        pollers = _Pollers(served, batch_id, pause=0.01)
        target, longest, status = f"/v1/batches/{batch_id}", 0.0, ""
        for _ in range(10):  # most are done in the first seven seconds
            longest = max(longest, pollers.run(7.0)[1])
            connection.request("GET", target, headers={"Authorization": f"Bearer {KEY}"})
            if (status := _answer(connection)["status"]) == "completed":
                break
        else:
            raise SystemExit(f"the batch is {status} after 70 s")
        return {"longest": longest}


class _Pollers:
    """Connections that ask for one batch again and again, all from one thread."""

    def __init__(self, served: Server, batch_id: str, pause: float = 0.0) -> None:
        self._request = (
            f"GET /v1/batches/{batch_id} HTTP/1.1\r\nHost: {served.host}\r\n"
            f"Authorization: Bearer {KEY}\r\n\r\n"
        ).encode()
        self._pause = pause
        self._sockets = [
            socket.create_connection((served.host, served.port)) for _ in range(CONNECTIONS)
        ]

    def run(self, seconds: float) -> tuple[int, float]:
        """Ask for so long; how many answers came, and the longest wait for one in seconds."""
        end = perf_counter() + seconds
        results: list[tuple[int, float]] = []
        if self._pause:  # gentle pollers, to see how long each waits
            threads = [
                threading.Thread(target=lambda s=each: results.append(self._ask_gently(s, end)))
                for each in self._sockets
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        else:
            results.append(self._ask_hard(end))
        return sum(count for count, _ in results), max(longest for _, longest in results)

    def _ask_gently(self, asking: socket.socket, end: float) -> tuple[int, float]:
        clock = SystemClock()
        count, longest = 0, 0.0
        while (started := perf_counter()) < end:
            asking.sendall(self._request)
            received = b""
            while not _is_whole(received):
                received += asking.recv(65_536)
            longest = max(longest, perf_counter() - started)
            count += 1
            clock.sleep(self._pause)
        return count, longest

    def _ask_hard(self, end: float) -> tuple[int, float]:
        count, longest = 0, 0.0
        sent: dict[socket.socket, float] = {}
        parts: dict[socket.socket, bytes] = {}
        with selectors.DefaultSelector() as selector:
            for each in self._sockets:
                selector.register(each, selectors.EVENT_READ)
                each.sendall(self._request)
                sent[each] = perf_counter()
            while sent:
                for key, _ in selector.select():
                    asking = key.fileobj
                    received = parts.pop(asking, b"") + asking.recv(65_536)
                    if not _is_whole(received):
                        parts[asking] = received
                        continue
                    now = perf_counter()
                    longest = max(longest, now - sent.pop(asking))
                    count += 1
                    if now < end:
                        asking.sendall(self._request)
                        sent[asking] = now
        return count, longest


def _is_whole(received: bytes) -> bool:
    """Tell if an answer, which must be a good one, has come to its end."""
    head, end, body = received.partition(b"\r\n\r\n")
    if not end:
        return False
    length = re.search(rb"(?i)content-length: (\d+)", head)
    if length is None or not head.startswith(b"HTTP/1.1 200"):
        raise SystemExit(f"a poll was answered by {received[:200]!r}")
    return len(body) >= int(length[1])
