"""One run through everything that depends on the seed; prints a digest of all that came of it.

It imports nothing but batchsim and what that stands on, so that any Python on the machine can run
it against the packages of another.
"""

import hashlib
import io
import json
import sys

from batchsim.backends.fake import SCENARIOS, FakeBackend
from batchsim.errors import BatchsimError

CHAT = "/v1/chat/completions"
TEXTS = ["2 + 2?", "日本の首都は？", "Schöne Grüße", 'quotes " and \\ and \n lines', "🙂" * 3, ""]
LOOKS = (0, 30, 61, 120, 600, 3_600, 43_200, 43_200, 3_600)


def input_file() -> bytes:
    """Chat requests of many kinds, in UTF-8."""
    lines = []
    for number in range(60):
        body = {
            "model": "gpt-4o-mini",
            "messages": [{"role": "user", "content": f"{TEXTS[number % 6]} {number}"}],
            "temperature": number % 3 / 2,
        }
        if number % 7 == 0:
            body["max_tokens"] = 1 + number
        line = {"custom_id": f"request-{number}", "method": "POST", "url": CHAT, "body": body}
        lines.append(json.dumps(line, ensure_ascii=number % 2 == 0))
    return "\n".join(lines).encode()


def history(scenario: str, seed: int) -> str:
    """What somebody sees who looks at everything in that scenario, as text."""
    fake = FakeBackend(seed=seed, scenario=scenario)
    told = [scenario]

    def ask(name, *arguments, **options):
        try:
            value = getattr(fake, name)(*arguments, **options)
            value = b"".join(value) if name == "read_file" else value
        except BatchsimError as error:
            value = None
            told.append(f"{type(error).__name__}: {error.message}")
        told.append(f"{name} {value!r}")
        return value

    file = ask("upload_file", io.BytesIO(input_file()), filename="input.jsonl")
    file = file or fake.undisturbed.all_files()[0] if fake.undisturbed.all_files() else None
    for _ in range(2):
        ask("create_batch", input_file_id=file.id if file else "file-x", endpoint=CHAT)
    for seconds in LOOKS:
        fake.clock.sleep(seconds)
        for batch in fake.undisturbed.all_batches():
            ask("retrieve_batch", batch.id)
        ask("list_batches")
    for each in ask("list_files").data if scenario == "completed" else fake.undisturbed.all_files():
        ask("read_file", each.id)
    fake.close()
    return "\n".join(told)


def digest() -> str:
    """The digest of the histories in every scenario."""
    told = hashlib.sha256()
    for seed, scenario in enumerate(sorted(SCENARIOS)):
        told.update(history(scenario, seed).encode("utf-8", "surrogatepass"))
    return told.hexdigest()


if __name__ == "__main__":
    print(digest(), "Python", ".".join(map(str, sys.version_info[:3])))  # noqa: T201
