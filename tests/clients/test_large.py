"""200 MB up and down through `batchsim serve` with the official client, and what
the server needs.
"""

import hashlib
import logging
import re
import subprocess
import sys
from pathlib import Path
from time import perf_counter

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc"),
]

SIZE = 200_000_000
LINE = b'{"custom_id": "request-1", "method": "POST", "url": "/v1/chat/completions", "body": {}}\n'
LARGEST_GROWTH = 32 << 20


@pytest.fixture
def process():
    """`batchsim serve` as a user starts it: its process and the address that it told."""
    pytest.importorskip("httptools", reason="the extra batchsim[serve] is not installed")
    command = [sys.executable, "-m", "batchsim", "serve", "--port", "0", "--pacing", "instant"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as serving:
        try:
            yield serving, serving.stdout.readline().decode().strip().partition("=")[2]
        finally:
            serving.terminate()
            serving.communicate()


@pytest.fixture
def large_file(tmp_path):
    path = tmp_path / "large.jsonl"
    block = LINE * (1_000_000 // len(LINE))
    with path.open("wb") as file:
        while file.tell() + len(block) <= SIZE:
            file.write(block)
        file.write(LINE * ((SIZE - file.tell()) // len(LINE)))
    yield path
    path.unlink()


def memory(process, name):
    """Bytes: `VmRSS` is what a process holds now, `VmHWM` the most that it ever held."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(re.search(rf"{name}:\s+(\d+) kB", status)[1]) * 1_024


def test_memory_stays_flat_for_200_mb_up_and_down(process, large_file):
    import openai

    serving, base_url = process
    with openai.OpenAI(base_url=base_url, api_key="sk-fake", max_retries=0) as client:
        client.files.content(client.files.create(file=("a.jsonl", LINE), purpose="batch").id)
        before = memory(serving, "VmRSS")
        start = perf_counter()
        with large_file.open("rb") as content:
            file = client.files.create(file=content, purpose="batch")
        up = perf_counter()
        digest = hashlib.sha256()
        with client.files.with_streaming_response.content(file.id) as answer:
            for piece in answer.iter_bytes():
                digest.update(piece)
        down = perf_counter()
        growth = memory(serving, "VmHWM") - before
    figures = f"up {up - start:.2f} s, down {down - up:.2f} s, memory + {growth / 1e6:.1f} MB"
    logging.getLogger(__name__).info(figures)  # shown by --log-cli-level=INFO
    assert file.bytes == large_file.stat().st_size
    with large_file.open("rb") as content:
        assert digest.digest() == hashlib.file_digest(content, "sha256").digest()
    assert growth <= LARGEST_GROWTH, figures
