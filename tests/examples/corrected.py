"""Answers for request lines from the OpenAI Batch API: each line paid once, in order, none lost.

Somebody's program: it knows the official client and nothing of batchsim.
"""

import json
import tempfile
import time

from openai import (
    APIConnectionError,
    BadRequestError,
    InternalServerError,
    OpenAI,
    RateLimitError,
)

ENDED = ("completed", "failed", "expired", "cancelled")
ROUNDS = 5
MINUTE = 60


class Pipeline:
    """Sends lines until each has an answer or is refused for good."""

    def __init__(self):
        self.client = OpenAI(max_retries=10)

    def run(self, lines):
        answers, refused = {}, set()
        for _ in range(ROUNDS):
            open_lines = [
                line for line in lines if line["custom_id"] not in answers.keys() | refused
            ]
            if not open_lines:
                break
            batch = self.wait(self.create(self.upload(open_lines)))
            for result in self.results(batch):
                custom_id, status = result["custom_id"], status_of(result)
                if status == 200:
                    answers[custom_id] = text_of(result)
                elif 400 <= status < 500 and status not in (408, 409, 429):
                    refused.add(custom_id)
            self.delete_files(batch)
        return [answers.get(line["custom_id"]) for line in lines]

    def upload(self, lines):
        content = "".join(json.dumps(line) + "\n" for line in lines).encode()
        return self.client.files.create(file=("input.jsonl", content), purpose="batch")

    def create(self, file):
        """A request without an answer may have made a batch, which may take its time to appear."""
        for _ in range(10):
            try:
                return self.client.with_options(max_retries=0).batches.create(
                    input_file_id=file.id,
                    endpoint="/v1/chat/completions",
                    completion_window="24h",
                )
            except (APIConnectionError, InternalServerError):
                time.sleep(10 * MINUTE)
                for batch in self.client.batches.list(limit=100):
                    if batch.input_file_id == file.id:
                        return batch
            except RateLimitError:
                time.sleep(MINUTE)
            except BadRequestError as error:
                if "Cannot find file" not in str(error):
                    raise
                time.sleep(MINUTE)  # the file was uploaded a moment ago
        raise RuntimeError("no batch could be created")

    def wait(self, batch):
        late = 0
        while batch.status not in ENDED or (late < 10 and names_no_results_yet(batch)):
            late += batch.status in ENDED
            time.sleep(MINUTE)
            batch = self.client.batches.retrieve(batch.id)
        return batch

    def results(self, batch):
        """Whatever its status: what has run is in one of the two files."""
        for file_id in (batch.output_file_id, batch.error_file_id):
            if file_id:
                yield from self.read(file_id)

    def read(self, file_id):
        """Line by line, once all of it is on the disk."""
        with tempfile.TemporaryFile() as content:
            for _ in range(10):
                content.seek(0)
                try:
                    size = self.client.files.retrieve(file_id).bytes
                    with self.client.files.with_streaming_response.content(file_id) as response:
                        for piece in response.iter_bytes():
                            content.write(piece)
                except Exception:  # not found yet, or the connection broke in the middle
                    time.sleep(MINUTE)
                    continue
                if content.tell() == size:
                    break
            else:
                raise RuntimeError(f"{file_id} cannot be read")
            content.seek(0)
            for line in content:
                yield json.loads(line)

    def delete_files(self, batch):
        for file_id in (batch.input_file_id, batch.output_file_id, batch.error_file_id):
            if file_id:
                self.client.files.delete(file_id)


def status_of(result):
    """The status of a line's answer; 0 when it never ran or its answer got lost."""
    return result["response"]["status_code"] if result["response"] else 0


def text_of(result):
    return result["response"]["body"]["choices"][0]["message"]["content"]


def names_no_results_yet(batch):
    counts = batch.request_counts
    return (counts.completed and not batch.output_file_id) or (
        counts.failed and not batch.error_file_id
    )


def run(lines):
    return Pipeline().run(lines)
