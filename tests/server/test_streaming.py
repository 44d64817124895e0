"""Large files go up and down through a server whose memory stays as it was."""

import http.client
import json
import subprocess
import sys
from pathlib import Path

import pytest

LINE = json.dumps({"custom_id": "1", "padding": "x" * (1 << 20)}).encode() + b"\n"
LINES = 199_000_000 // len(LINE)
BEFORE = (
    b'--B\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
    b'--B\r\nContent-Disposition: form-data; name="file"; filename="a.jsonl"\r\n\r\n'
)
AFTER = b"\r\n--B--\r\n"
MOST_GROWTH = 32 << 20


def peak_memory(process):
    """The most bytes that a process has held so far."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) << 10


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")
def test_200_mb_up_and_down_in_flat_memory(tmp_path):
    command = [sys.executable, "-m", "batchsim", "serve", "--port", "0"]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        try:
            port = int(process.stdout.readline().split(b":")[2].split(b"/")[0])
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            headers = {"Authorization": "Bearer sk-any"}
            connection.request("GET", "/v1/files", headers=headers)
            connection.getresponse().read()
            start = peak_memory(process)

            size = LINES * len(LINE)
            form = {
                "Content-Type": "multipart/form-data; boundary=B",
                "Content-Length": str(len(BEFORE) + size + len(AFTER)),
            }
            body = (piece for pieces in ([BEFORE], [LINE] * LINES, [AFTER]) for piece in pieces)
            connection.request("POST", "/v1/files", body, {**headers, **form})
            file = json.loads(connection.getresponse().read())
            assert file["bytes"] == size
            assert peak_memory(process) - start <= MOST_GROWTH

            connection.request("GET", f"/v1/files/{file['id']}/content", headers=headers)
            response = connection.getresponse()
            for _ in range(LINES):
                assert response.read(len(LINE)) == LINE
            assert response.read() == b""
            assert peak_memory(process) - start <= MOST_GROWTH
            connection.close()
        finally:
            process.kill()
