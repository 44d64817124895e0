"""The answers of the simulator in the shapes of other services, as they were recorded or
documented.

Each shape stands between the official client and the simulator's own REST surface. It spells
answers as that service does, and refuses what that service refuses.
"""

from __future__ import annotations

import dataclasses
import io
import json
import re
from datetime import UTC, datetime

from batchsim.wire import App, Response

STAMPS = re.compile(r"(_at|_deadline)$")


class Shape(App):
    """OpenAI's own shape, which the others change. `asked` are the requests, each with its body."""

    def __init__(self, backend, **options):
        super().__init__(backend, **options)
        self.asked = []

    def handle(self, request):
        body = b"".join(request.body)
        self.asked.append((request, body))
        return self.answer(request, body)

    def answer(self, request, body):
        headers = tuple(
            (name, str(len(body)) if name.lower() == "content-length" else value)
            for name, value in request.headers
        )
        answer = super().handle(dataclasses.replace(request, headers=headers, body=[body]))
        if answer.status >= 400 or answer.header("content-type") != "application/json":
            return answer
        content = json.loads(b"".join(answer.body))
        return reply(self.spell(request, content), answer.headers)

    def spell(self, request, content):
        if isinstance(content.get("data"), list):
            return self.page({**content, "data": [self.one(each) for each in content["data"]]})
        return self.one(content)

    def page(self, content):
        return content

    def one(self, content):
        kind = {"batch": self.batch, "file": self.file}.get(content.get("object"))
        return content if kind is None or content.get("deleted") else kind(dict(content))

    def batch(self, batch):
        return batch

    def file(self, file):
        return file


def reply(content, headers=(), status=200):
    kept = tuple(each for each in headers if each[0].lower() != "content-length")
    return Response(
        status, kept or (("content-type", "application/json"),), [json.dumps(content).encode()]
    )


def iso(batch):
    return {
        name: datetime.fromtimestamp(value, UTC).isoformat().replace("+00:00", "Z")
        if STAMPS.search(name) and value
        else value
        for name, value in batch.items()
    }


def blank(batch, *names):
    return {name: "" if name in names and value is None else value for name, value in batch.items()}


class Azure(Shape):
    """Files are pending at first; placeholders are ""; there is always an error
    file, often empty.
    """

    LOOKS = 2
    EMPTY = "file-00000000000000000000000000000000"

    def __init__(self, backend):
        super().__init__(backend)
        self.looks = {}

    def answer(self, request, body):
        if request.header("api-key") is None:
            return reply({"error": {"code": "401", "message": "Access denied"}}, status=401)
        if request.path.endswith(f"/files/{self.EMPTY}/content"):
            return Response(200, (("content-type", "application/octet-stream"),), [b""])
        if request.method == "POST" and request.path.endswith("/batches"):
            file_id = json.loads(body)["input_file_id"]
            if self.looks.get(file_id, 0) < self.LOOKS:
                message = (
                    f"The input file '{file_id}' is in 'pending' state. Only files with status "
                    "'Processed' are accepted for batch inferencing."
                )
                return reply({"error": {"code": "invalidPayload", "message": message}}, status=400)
        if request.method == "GET" and "/files/" in request.path:
            file_id = request.path.rpartition("/")[2]
            self.looks[file_id] = self.looks.get(file_id, 0) + 1
        return super().answer(request, body)

    def file(self, file):
        ready = self.looks.get(file["id"], 0) >= self.LOOKS
        return file if ready else {**file, "status": "pending"}

    def batch(self, batch):
        if batch["output_file_id"] and not batch["error_file_id"]:
            batch["error_file_id"] = self.EMPTY
        if batch["status"] == "validating":
            batch["request_counts"] = None
        return blank(batch, "output_file_id", "error_file_id", "errors")


class Groq(Shape):
    """The same shape; nobody else's endpoints."""

    def batch(self, batch):
        return {name: value for name, value in batch.items() if name not in ("model", "usage")}


class Novita(Shape):
    """Capitals, a word of its own for running, ISO 8601, and "" for what is absent."""

    def batch(self, batch):
        status = {"in_progress": "PROGRESS"}.get(batch["status"], batch["status"].upper())
        return blank(iso({**batch, "status": status}), "errors", "output_file_id", "error_file_id")


class SiliconFlow(Shape):
    """A batch waits `in_queue`; objects lie inside `data`; lists have no pages."""

    def spell(self, request, content):
        spelt = super().spell(request, content)
        if content.get("object") in ("file", "batch"):
            return {"code": 20000, "message": "Ok", "status": True, "data": spelt}
        return spelt

    def page(self, content):
        return {"object": "list", "data": content["data"]}

    def batch(self, batch):
        status = {"validating": "in_queue"}.get(batch["status"], batch["status"])
        return {**batch, "status": status, "request_counts": None}


class Milliseconds(Shape):
    """Milliseconds for seconds, with a sentinel for what is absent; null counts; a
    list of errors.
    """

    def batch(self, batch):
        for name in batch:
            if STAMPS.search(name):
                batch[name] = batch[name] * 1000 if batch[name] else 946_656_000_000
        return blank(
            {**batch, "request_counts": None, "errors": []}, "output_file_id", "error_file_id"
        )

    def file(self, file):
        return {**file, "created_at": file["created_at"] * 1000}


WORDS = {
    "validating": "QUEUED",
    "in_progress": "RUNNING",
    "finalizing": "RUNNING",
    "completed": "SUCCESS",
    "failed": "FAILED",
    "expired": "TIMEOUT_EXCEEDED",
    "cancelling": "CANCELLATION_REQUESTED",
    "cancelled": "CANCELLED",
}


class MistralWords(Shape):
    """Mistral's words for the statuses on OpenAI's shape."""

    def batch(self, batch):
        return {**batch, "status": WORDS[batch["status"]]}


class Together(Shape):
    """Files go elsewhere in three steps; batches lie in `job`, in capitals, with a percentage.

    After the types of its client 3.1.1: no counts, no metadata, a bare list, ISO 8601.
    """

    STORE = "http://storage.invalid/put/"

    def __init__(self, backend):
        super().__init__(backend)
        self.backend = backend
        self.names = {}
        self.stored = {}
        self.own = {}

    def answer(self, request, body):
        path = request.path
        if request.method == "POST" and path == "/v1/files":
            assert b'name="purpose"\r\n\r\nbatch-api\r\n' in body
            file_id = f"file-{len(self.names)}-of-together"
            self.names[file_id] = re.search(rb'name="file_name"\r\n\r\n(.*)\r\n', body)[1].decode()
            place = (("location", self.STORE + file_id), ("x-together-file-id", file_id))
            return Response(302, place, [b""])
        if request.method == "PUT":
            assert request.header("authorization") is None
            self.stored[path.rpartition("/")[2]] = body
            return Response(200, (), [b""])
        if path.endswith("/preprocess"):
            file_id = path.split("/")[3]
            content = io.BytesIO(self.stored[file_id])
            file = self.backend.upload_file(content, filename=self.names[file_id])
            self.own[file_id] = file.id
            return reply(self._renamed(file.to_object()))
        for theirs, ours in self.own.items():
            path = path.replace(theirs, ours)
            body = body.replace(theirs.encode(), ours.encode())
        query = request.query.replace("batch-api", "batch")
        return super().answer(dataclasses.replace(request, path=path, query=query), body)

    def spell(self, request, content):
        spelt = self._renamed(super().spell(request, content))
        is_creation = request.method == "POST" and request.path == "/v1/batches"
        return {"job": spelt, "warning": ""} if is_creation else spelt

    def page(self, content):
        return (
            content["data"] if content["data"][:1] and "progress" in content["data"][0] else content
        )

    def batch(self, batch):
        counts = batch["request_counts"]
        done = counts["completed"] + counts["failed"]
        known = ("id", "endpoint", "input_file_id", "output_file_id", "error_file_id", "status")
        return iso(
            {
                **{name: batch[name] for name in (*known, "created_at", "completed_at")},
                "status": {"cancelling": "CANCELLED"}.get(batch["status"], batch["status"].upper()),
                "job_deadline": batch["expires_at"],
                "model_id": batch["model"],
                "progress": 100.0 * done / max(1, counts["total"]),
                "file_size_bytes": 1,
                "user_id": "user",
            }
        )

    def _renamed(self, content):
        text = json.dumps(content)
        for theirs, ours in self.own.items():
            text = text.replace(ours, theirs)
        return json.loads(text)


SHAPES = {
    "openai": Shape,
    "azure": Azure,
    "groq": Groq,
    "together": Together,
    "novita": Novita,
    "siliconflow": SiliconFlow,
    "compatible": Milliseconds,
    "mistral-compatible": MistralWords,
    "dashscope": Shape,
    "deepinfra": Shape,
    "moonshot": Shape,
    "nebius": Shape,
    "parasail": Shape,
}
