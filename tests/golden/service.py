"""A scripted service for the golden jobs that run with `--real`.

It imports nothing of batchsim, so no change there changes it. Its script and its state are in
`service.json`, in the folder of the job, which is written after each request. So the state
survives when the process is killed.

The script:

    courses   the endings of the batches of a model, in the order of their creation: "completed"
              (the default), "expired" (the second half of the lines does not run), "failed" (the
              second line is refused), or "held" (runs until it is cancelled)
    refusals  the status codes of the first answers to a custom_id, before 200
    silent    custom_ids of lines that never have a result
    doubled   custom_ids of lines that have two different results
    queues    the limit of a model's queue: in lines, and in tokens as the error message tells it

A batch moves on one step with every second look at it. The clock decides nothing; it only stamps
the objects.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs

EPOCH = 1_772_366_400
"""2026-03-01T12:00:00Z in unix seconds: when the jobs begin."""

_ENDED = ("completed", "expired", "cancelled", "failed")


class Service:
    """The service whose `service.json` is in `folder`, on the clock `now`.

    `heard` is called with the name of each request, such as "POST /batches", after it has taken
    effect and before it is answered.
    """

    url = "https://golden.invalid/v1"
    key = "sk-golden-golden-golden"

    def __init__(
        self,
        folder: Path,
        now: Callable[[], float],
        heard: Callable[[str], object] = lambda _: None,
    ) -> None:
        self._path = folder / "service.json"
        self._now = now
        self._heard = heard
        self._lock = threading.Lock()
        self._state = {"now": EPOCH, "files": {}, "batches": {}, "tries": {}}
        self._state |= json.loads(self._path.read_text("utf-8"))

    @property
    def last_asked(self) -> float:
        """The time of the last request."""
        return self._state["now"]

    def answer(self, method: str, path: str, query: str, kind: str, body: bytes):
        """Answer one request: return status and content. `kind` is its Content-Type."""
        path = path.removeprefix("/v1")
        found = next(
            (
                (act, match)
                for verb, pattern, act in self._routes()
                if verb == method and (match := re.fullmatch(pattern, path))
            ),
            None,
        )
        if found is None:
            return _refusal(404, f"Unknown request URL: {method} {path}.")
        act, match = found
        with self._lock:
            try:
                told = act(*match.groups(), {**_single(parse_qs(query)), **_fields(kind, body)})
            except KeyError as missing:
                return _refusal(404, f"No such object: {missing.args[0]}")
            self.save()
        self._heard(f"{method} {re.sub('(file-golden-|batch_golden_)[0-9]+', 'ID', path)}")
        return 200, told if isinstance(told, bytes) else json.dumps(told).encode()

    def save(self) -> None:
        """Write the state to the disk."""
        self._state["now"] = self._now()
        self._path.write_text(json.dumps(self._state, indent=1), "utf-8")

    def _routes(self):
        return [
            ("POST", "/files", self._upload),
            ("GET", "/files", self._list_files),
            ("GET", "/files/([^/]+)", lambda name, _: self._file(name)["object"]),
            ("GET", "/files/([^/]+)/content", lambda name, _: self._file(name)["text"].encode()),
            ("DELETE", "/files/([^/]+)", self._delete),
            ("POST", "/batches", self.create),
            ("GET", "/batches", self._list_batches),
            ("GET", "/batches/([^/]+)", lambda name, _: self._look(name)),
            ("POST", "/batches/([^/]+)/cancel", self._cancel),
            ("POST", "/chat/completions", self._chat),
        ]

    def _file(self, name):
        return self._state["files"][name]

    def add_file(self, filename, purpose, text):
        """Store a file and return its object."""
        number = self._state["uploads"] = self._state.get("uploads", 0) + 1
        told = {
            "id": f"file-golden-{number}",
            "object": "file",
            "bytes": len(text.encode()),
            "created_at": int(self._now()),
            "filename": filename,
            "purpose": purpose,
            "status": "processed",
        }
        self._state["files"][told["id"]] = {"object": told, "text": text}
        return told

    def _upload(self, sent):
        return self.add_file(sent["file.name"], sent["purpose"], sent["file"])

    def _list_files(self, _):
        return _page([each["object"] for each in self._state["files"].values()])

    def _delete(self, name, _):
        del self._state["files"][name]
        return {"id": name, "object": "file", "deleted": True}

    def create(self, sent):
        """Make a batch and return its object."""
        lines = self._lines(sent["input_file_id"])
        model = lines[0]["body"]["model"]
        courses = self._state.get("courses", {}).get(model, [])
        earlier = [each for each in self._state["batches"].values() if each["model"] == model]
        now, number = int(self._now()), len(self._state["batches"]) + 1
        queue = self._state.get("queues", {}).get(model)
        told = {
            "id": f"batch_golden_{number}",
            "object": "batch",
            "endpoint": sent["endpoint"],
            "model": model,
            "errors": None,
            "input_file_id": sent["input_file_id"],
            "completion_window": "24h",
            "status": "validating",
            "output_file_id": None,
            "error_file_id": None,
            "created_at": now,
            "expires_at": now + 86_400,
            "request_counts": {"total": 0, "completed": 0, "failed": 0},
            "metadata": sent.get("metadata"),
        }
        self._state["batches"][told["id"]] = {
            "object": told,
            "model": model,
            "looks": 0,
            "course": [*courses, *["completed"] * (len(earlier) + 1)][len(earlier)],
            "overflow": queue["tokens"] if queue and len(lines) > queue["lines"] else None,
        }
        return told

    def _lines(self, file_id):
        return [json.loads(line) for line in self._file(file_id)["text"].splitlines()]

    def _list_batches(self, _):
        return _page([self._look(name) for name in [*self._state["batches"]]])

    def _look(self, name):
        """Return the batch, moved on one step at every second look."""
        batch = self._state["batches"][name]
        told = batch["object"]
        if told["status"] in _ENDED:
            return told
        batch["looks"] += 1
        if batch["looks"] % 2 == 0:
            self._step(batch, told)
        return told

    def _step(self, batch, told):
        if told["status"] == "cancelling":
            self._end(told, "cancelled", half=True)
        elif told["status"] == "validating" and batch["overflow"]:
            words = (
                f"Enqueued token limit reached for {batch['model']} in organization org-golden. "
                f"Limit: {batch['overflow']:,} enqueued tokens."
            )
            self._fail(told, "token_limit_exceeded", words)
        elif told["status"] == "validating" and batch["course"] == "failed":
            self._fail(told, "invalid_method", "The method is wrong.", line=2)
        elif told["status"] == "validating":
            total = len(self._lines(told["input_file_id"]))
            told |= {"status": "in_progress", "in_progress_at": int(self._now())}
            told["request_counts"] = {"total": total, "completed": 0, "failed": 0}
        elif batch["course"] != "held":
            self._end(told, batch["course"], half=batch["course"] == "expired")

    def _fail(self, told, code, message, line=None):
        error = {"code": code, "message": message, "param": None, "line": line}
        told |= {"status": "failed", "failed_at": int(self._now())}
        told["errors"] = {"object": "list", "data": [error]}

    def _end(self, told, status, *, half):
        """End the batch: write its results, last line first; with `half`, run the
        first half only.
        """
        lines = self._lines(told["input_file_id"])
        run = lines[: len(lines) // 2] if half else lines
        good, bad = [], []
        silent, doubled = (self._state.get(name, []) for name in ("silent", "doubled"))
        heard = [line for line in reversed(run) if line["custom_id"] not in silent]
        for line in heard + [line for line in heard if line["custom_id"] in doubled]:
            code, body = self._completion(line["custom_id"], line["body"])
            response = {"status_code": code, "request_id": None, "body": body}
            (good if code == 200 else bad).append(_result(told, line, response, None))
        failed = len(bad)
        message = "This request could not be executed before the completion window expired."
        if status == "cancelled":
            message = "This request was not executed because the batch was cancelled."
        for line in lines[len(run) :]:
            error = {"code": f"batch_{status}", "message": message}
            bad.append(_result(told, line, None, error))
        for name, results in (("output", good), ("error", bad)):
            if results:
                text = "".join(f"{json.dumps(each)}\n" for each in results)
                file = self.add_file(f"{told['id']}_{name}.jsonl", "batch_output", text)
                told[f"{name}_file_id"] = file["id"]
        told |= {"status": status, f"{status}_at": int(self._now())}
        told["request_counts"] = {
            "total": len(lines),
            "completed": len(good),
            "failed": failed,
        }

    def _cancel(self, name, _):
        told = self._state["batches"][name]["object"]
        if told["status"] not in _ENDED:
            told |= {"status": "cancelling", "cancelling_at": int(self._now())}
        return told

    def _chat(self, sent):
        code, body = self._completion(sent["messages"][-1]["content"], sent)
        assert code == 200
        return body

    def _completion(self, name, body):
        """Return the status code and the body for the next try of a line."""
        tried = self._state["tries"][name] = self._state["tries"].get(name, 0) + 1
        codes = self._state.get("refusals", {}).get(name, [])
        if tried <= len(codes):
            error = {"message": "The service has a bad day.", "type": "server_error"}
            return codes[tried - 1], {"error": {**error, "param": None, "code": None}}
        question = body["messages"][-1]["content"]
        message = {"role": "assistant", "content": f"Try {tried}: {question}", "refusal": None}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
        usage = {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15}
        return 200, {
            "id": f"chatcmpl-golden-{name.replace(' ', '-')}",
            "object": "chat.completion",
            "created": EPOCH,
            "model": body["model"],
            "choices": [choice],
            "usage": usage,
        }


def _result(batch, line, response, error):
    name = f"batch_req_{batch['id']}_{line['custom_id']}"
    return {"id": name, "custom_id": line["custom_id"], "response": response, "error": error}


def _page(entries):
    """Return all entries on one page, newest first."""
    return {"object": "list", "data": entries[::-1], "has_more": False}


def _refusal(status, message):
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": None}
    return status, json.dumps({"error": error}).encode()


def _single(query):
    return {name: values[0] for name, values in query.items()}


def _fields(kind, body):
    """Return the fields of a JSON body or of a form; a file's name is in `NAME.name`."""
    if kind.startswith("application/json") and body:
        return json.loads(body)
    fields = {}
    if kind.startswith("multipart/form-data"):
        boundary = re.search('boundary="?([^";]+)', kind)[1].encode()
        for part in body.split(b"--" + boundary)[1:-1]:
            head, _, content = part.partition(b"\r\n\r\n")
            told = dict(re.findall(r'\b(name|filename)="([^"]*)"', head.decode()))
            fields[told["name"]] = content.removesuffix(b"\r\n").decode()
            if "filename" in told:
                fields[f"{told['name']}.name"] = told["filename"]
    return fields
