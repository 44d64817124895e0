"""The three translations that the demo replays, from a real batch of 17 April 2024."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

MODEL = "gpt-3.5-turbo"
CREATED_AT = 1_713_330_734
"""When the real batch was created: 2024-04-17T05:12:14Z, in unix seconds."""

INSTRUCTION = "あなたは英語翻訳者です。与えられらた文章の英訳のみを出力してください。"


class Sentence(NamedTuple):
    """A sentence as it was sent, and the translation that came back."""

    japanese: str
    english: str


SENTENCES = (
    Sentence(
        "OpenAIからバッチAPIがリリースされました。コストが半額になるよ！",
        "Batch API has been released by OpenAI. The cost will be half!",
    ),
    Sentence(
        "OpenAIのダッシュボードからプロジェクトの概念が導入されたよ！",
        "Project concepts have been introduced in OpenAI's Dashboard!",
    ),
    Sentence(
        "アシスタントAPIでストリームレスポンスが使えるようなったよ！",
        "The stream response is now available in the Assistant API!",
    ),
)


class Translation(NamedTuple):
    """One request line, with the text that it asks to translate and the answer to expect."""

    custom_id: str
    sentence: Sentence

    def request_line(self) -> dict[str, Any]:
        """The line of the input file."""
        messages = [
            {"role": "system", "content": INSTRUCTION},
            {"role": "user", "content": self.sentence.japanese},
        ]
        return {
            "custom_id": self.custom_id,
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": {"model": MODEL, "messages": messages},
        }


def translations(lines: int) -> Iterator[Translation]:
    """`lines` translations, `request-1` onward; the sentences repeat."""
    for index in range(lines):
        yield Translation(f"request-{index + 1}", SENTENCES[index % len(SENTENCES)])
