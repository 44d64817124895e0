"""A client of a FakeBackend in small steps, so that a test can leave one out or do one twice."""

import io
import json

import pytest

from batchsim.backends.fake import FakeBackend
from batchsim.domain.lines import ResultLine
from batchsim.errors import OutcomeUnknown
from batchsim.verdict import judge

CHAT = "/v1/chat/completions"


class Client:
    """Somebody who works with one fake; `clean` does all of it well."""

    def __init__(self, **options):
        self.fake = FakeBackend(seed=1, **options)
        self.results = {}

    @property
    def verdict(self):
        return judge(self.fake.history())

    def upload(self, *custom_ids, content=None, **options):
        content = content or b"".join(map(line, custom_ids))
        return self.fake.upload_file(io.BytesIO(content), filename="input.jsonl", **options)

    def submit(self, *custom_ids, **options):
        return self.create(self.upload(*custom_ids, expires_after=86_400), **options)

    def create(self, file, **options):
        options = {"endpoint": CHAT, "output_expires_after": 86_400, **options}
        return self.fake.create_batch(input_file_id=file.id, **options)

    def wait(self, batch, every=60.0):
        while not batch.status.is_terminal:
            self.fake.clock.sleep(every)
            batch = self.fake.retrieve_batch(batch.id)
        return batch

    def read(self, *file_ids):
        for file_id in filter(None, file_ids):
            for content in b"".join(self.fake.read_file(file_id)).splitlines():
                result = ResultLine.from_object(json.loads(content))
                if result.is_ok:
                    self.results[result.custom_id] = result

    def clean(self, *custom_ids):
        """Runs lines until each has a good result, and leaves nothing behind."""
        missing = list(custom_ids)
        for _ in range(8):
            batch = self.wait(self.submit(*missing))
            self.read(batch.output_file_id, batch.error_file_id)
            missing = [each for each in custom_ids if each not in self.results]
            if not missing:
                return


def line(custom_id, text="Hi", url=CHAT):
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": text}]}
    value = {"custom_id": custom_id, "method": "POST", "url": url, "body": body}
    return json.dumps(value).encode() + b"\n"


@pytest.fixture
def client():
    """Makes a client of a new fake: `client(scenario="slow")`."""
    made = []

    def make(**options):
        made.append(Client(**options))
        return made[-1]

    yield make
    for each in made:
        each.fake.close()


@pytest.fixture
def request_line():
    return line


@pytest.fixture
def lost():
    return OutcomeUnknown
