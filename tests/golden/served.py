"""Run `batchsim serve --data` in a process of its own, on a clock that moves only when told to.

The clock is put to the year 2100. A server goes on at the latest time in its folder when that is
after the time of the machine. So a copy of the folder always starts where the server was killed.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import urllib.request
from pathlib import Path
from typing import Any, Self

BEGIN = 4_102_444_800
"""2100-01-01T00:00:00Z in unix seconds."""

KEYS = ("sk-golden-one", "sk-golden-two")
CHAT = "/v1/chat/completions"


class Served:
    """A server of the folder `data`. It is killed at the end of the block."""

    def __init__(self, data: Path, python: str | Path) -> None:
        self._command = [python, "-m", "batchsim", "serve", "--data", data, "--control"]
        self._command += ["--port", "0", "--speed", "0.000001", "--json"]

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self.base_url = json.loads(self._process.stdout.readline())["base_url"]
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()

    def ask(self, method: str, path: str, body: Any = None, key: str = KEYS[0]) -> bytes:
        """Send one request: a value as JSON, or bytes as a form. Return the answer's content."""
        kind, content = "application/json", None
        if isinstance(body, bytes):
            kind, content = "multipart/form-data; boundary=golden", body
        elif body is not None:
            content = json.dumps(body).encode()
        request = urllib.request.Request(
            f"{self.base_url.removesuffix('/v1')}{path}",
            content,
            {"Authorization": f"Bearer {key}", "Content-Type": kind},
            method=method,
        )
        with urllib.request.urlopen(request) as answer:
            return answer.read()

    def object(self, *arguments: Any, **options: Any) -> dict[str, Any]:
        """Send one request, and return the JSON object of the answer."""
        return json.loads(self.ask(*arguments, **options))

    def upload(self, content: bytes, key: str = KEYS[0], **fields: str) -> str:
        """Upload a file and return its id."""
        parts = [
            f'Content-Disposition: form-data; name="{name}"\r\n\r\n{value}'.encode()
            for name, value in {"purpose": "batch", **fields}.items()
        ]
        head = b'Content-Disposition: form-data; name="file"; filename="input.jsonl"\r\n\r\n'
        form = b"".join(b"--golden\r\n%b\r\n" % part for part in (*parts, head + content))
        return self.object("POST", "/v1/files", form + b"--golden--\r\n", key)["id"]

    def batch(self, content: bytes, key: str = KEYS[0], **metadata: str) -> str:
        """Upload an input, make a batch of it, and return its id."""
        body = {"input_file_id": self.upload(content, key), "endpoint": CHAT}
        body |= {"completion_window": "24h", "metadata": metadata or None}
        return self.object("POST", "/v1/batches", body, key)["id"]

    def cancel(self, batch: str) -> None:
        """Ask for a batch to be cancelled."""
        self.ask("POST", f"/v1/batches/{batch}/cancel")

    def advance(self, seconds: float) -> None:
        """Put the clock forward."""
        self.ask("POST", "/_batchsim/clock", {"advance": seconds})

    def time(self) -> str:
        """Return the time of the server, to a tenth of a second."""
        return f"{self.object('GET', '/_batchsim/clock')['now']:.1f}\n"

    def contents(self, key: str) -> str:
        """Return a line for each file of the key: its id, its size and its hash."""
        lines = []
        for file in self.object("GET", "/v1/files?limit=10000&order=asc", key=key)["data"]:
            if file["purpose"] == "user_data":
                continue
            content = self.ask("GET", f"/v1/files/{file['id']}/content", key=key)
            digest = hashlib.sha256(content).hexdigest()
            lines.append(f"{file['id']} {len(content)} {digest}\n")
        return "".join(lines)


def fill(served: Served, good: bytes, bad: bytes) -> None:
    """Make files and batches of two keys in every state, from a valid and an invalid input."""
    served.ask("POST", "/_batchsim/clock", {"advance_to": BEGIN})
    scenario = "batchsim.scenario"
    served.batch(good, **{scenario: "some_failed"})  # completed, with an error file
    served.batch(bad)  # failed
    served.batch(good, **{scenario: "expired_partial"})
    half_done = served.batch(good)
    served.advance(90)
    served.cancel(half_done)
    served.advance(2 * 86_400)
    served.batch(good, KEYS[1])
    served.batch(good, **{scenario: "stuck_finalizing"})
    served.upload(good, purpose="user_data")
    served.upload(
        good, **{"expires_after[anchor]": "created_at", "expires_after[seconds]": "2592000"}
    )
    deleted = served.upload(good)
    served.ask("DELETE", f"/v1/files/{deleted}")
    served.advance(86_000)
    cancelling = served.batch(good)
    served.batch(good, project="日本")  # in progress
    served.advance(90)
    served.cancel(cancelling)
    served.advance(30)
    served.batch(good)  # validating
    served.advance(0.5)  # in which nothing happens that is noted elsewhere
