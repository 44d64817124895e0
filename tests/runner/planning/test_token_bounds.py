"""What bounds the prompt of a line: only what the line holds itself."""

import json

import pytest

from batchsim.domain.lines import RequestLine
from batchsim.runner.planning.token_bounds import bounds

CHAT, RESPONSES = "/v1/chat/completions", "/v1/responses"
HELLO = {"messages": [{"role": "user", "content": "hello"}]}


def prompt_bound(url, body, written=None):
    body = {"model": "gpt-4o", "max_tokens": 9, **body}
    content = json.dumps({"custom_id": "a", "url": url, "body": body})
    content = written(content) if written else content
    return bounds(content.encode(), RequestLine(1, "a", url, "gpt-4o", body)).prompt


def parts(*values):
    return {"messages": [{"role": "user", "content": list(values)}]}


UNSEEN = {
    "a picture": parts({"type": "image_url", "image_url": {"url": "https://x.invalid/a.png"}}),
    "a file by its address": {
        "input": [{"content": [{"type": "input_file", "file_url": "https://x.invalid/a.pdf"}]}]
    },
    "a file by its id": parts({"type": "file", "file": {"file_id": "file-1"}}),
    "a video": parts({"type": "video_url", "video_url": {"url": "https://x.invalid/a.mp4"}}),
    "an earlier item": {"input": [{"type": "item_reference", "id": "msg_1"}]},
    "an earlier spoken answer": {"messages": [{"role": "assistant", "audio": {"id": "audio_1"}}]},
    "tools that are no list": {**HELLO, "tools": {"type": "web_search"}},
    "tools that are a text": {**HELLO, "tools": "web_search"},
    "a tool of an odd type": {**HELLO, "tools": [{"type": ["function"]}]},
    "a stored prompt": {"prompt": {"id": "pmpt_1"}},
    "a prompt that is a number": {"prompt": 5},
}


@pytest.mark.parametrize("kind", UNSEEN)
def test_a_prompt_that_is_not_all_in_the_line_has_no_bound(kind):
    assert prompt_bound(RESPONSES, UNSEEN[kind]) is None


def test_a_name_may_be_written_with_escapes():
    body = parts({"type": "file", "file": {"file_id": "file-1"}})
    assert prompt_bound(CHAT, body, lambda text: text.replace("file_id", r"file\u005fid")) is None


@pytest.mark.parametrize(
    "body",
    [HELLO, {**HELLO, "tools": []}, {**HELLO, "tools": None}, parts({"type": "text", "text": "a"})],
    ids=str,
)
def test_a_prompt_that_is_all_in_the_line_is_bounded(body):
    assert prompt_bound(CHAT, body) > 0
    assert prompt_bound(CHAT, body, lambda text: text.replace("role", r"r\u006fle")) > 0
