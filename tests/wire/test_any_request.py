"""Whatever comes in, the surface answers, says that the asker is to blame, and keeps its form."""

import orjson
from hypothesis import example, given, settings
from hypothesis import strategies as st

from batchsim.backends.fake import FakeBackend
from batchsim.wire import App, Request
from batchsim.wire.app import ROUTES

APP = App(FakeBackend(seed=1))
"""One for all examples: what an earlier one left behind is a part of the test."""

NAMES = st.sampled_from(
    [
        *("input_file_id", "endpoint", "completion_window", "metadata", "output_expires_after"),
        *("bytes", "filename", "mime_type", "purpose", "part_ids", "md5", "expires_after"),
        *("anchor", "seconds", "model", "messages", "input", "prompt", "role", "content", "stream"),
    ]
)
WORDS = st.sampled_from(
    [
        *("file-1111111111111111111111", "/v1/chat/completions", "/v1/embeddings", "24h", "batch"),
        *("created_at", "gpt-4o", "text-embedding-3-small", "user", "a.jsonl"),
    ]
)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=10)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | WORDS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES | TEXTS, inner, max_size=5),
    max_leaves=10,
)
BODIES = st.dictionaries(NAMES, VALUES, max_size=6).map(orjson.dumps) | st.binary(max_size=60)
FORM = (
    b'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
    b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n{}\r\n--b--\r\n'
)


@st.composite
def torn_forms(draw):
    """A good form with a piece taken out and another put in."""
    start = draw(st.integers(0, len(FORM)))
    end = draw(st.integers(start, min(len(FORM), start + 20)))
    return FORM[:start] + draw(st.binary(max_size=8)) + FORM[end:]


KINDS = st.sampled_from(
    [None, "application/json", "multipart/form-data; boundary=b", "text/plain", "application/json;"]
)
IDENTIFIERS = st.sampled_from(["file-x", "batch_x", "upload_x", "gpt-4o", "%", "..", "%00"]) | TEXTS
PATHS = st.builds(
    lambda route, identifier: route.path.replace("{id}", identifier),
    st.sampled_from(ROUTES),
    IDENTIFIERS,
) | st.text(st.sampled_from("/v1filesbatchopn%.{}"), max_size=20)
METHODS = st.sampled_from(["GET", "POST", "DELETE", "HEAD", "PATCH", "get", ""])
QUERIES = st.text(st.sampled_from("limitafeorpus=&;%0123456789-+"), max_size=20) | st.sampled_from(
    ["limit=1", "limit=-1", "after=file-x", "order=asc", "purpose=batch", "api-version=1"]
)


@settings(max_examples=400, deadline=None)
@given(METHODS, PATHS, QUERIES, KINDS, BODIES | torn_forms(), st.integers(1, 30))
@example("POST", "/v1/files", "", "multipart/form-data; boundary=b", FORM, 7)
def test_every_request_is_answered(method, path, query, kind, body, at_once):
    headers = (("Authorization", "Bearer x"), *((("Content-Type", kind),) if kind else ()))
    pieces = [body[start : start + at_once] for start in range(0, len(body), at_once)]
    answer = APP.handle(Request(method, path, query, headers, iter(pieces)))
    content = b"".join(answer.body)
    assert answer.status == 200 or 400 <= answer.status < 500
    assert all(value.isprintable() for _, value in answer.headers)
    if answer.header("content-type") == "application/json":
        value = orjson.loads(content)
        assert (answer.status == 200) == ("error" not in value or value.get("object") is not None)
    if answer.status != 200:
        assert list(orjson.loads(content)["error"]) == ["message", "type", "param", "code"]
