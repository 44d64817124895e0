"""What the strategies draw is what they say it is."""

import io
import json
import subprocess
import sys
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import rule

from batchsim import FakeBackend, strategies
from batchsim.domain.lifecycle import Status
from batchsim.errors import BatchsimError, NotFound
from batchsim.testing.state_machine import PipelineMachine

few = settings(max_examples=60)


def batch_over(content, url=strategies.CHAT):
    fake = FakeBackend(pacing="instant")
    file = fake.undisturbed.upload_file(io.BytesIO(content), filename="input.jsonl")
    batch = fake.create_batch(input_file_id=file.id, endpoint=url)
    return fake.retrieve_batch(batch.id)


@few
@given(st.data(), st.sampled_from(tuple(strategies.BODIES)))
def test_a_drawn_input_file_is_valid(data, url):
    batch = batch_over(data.draw(strategies.input_files(url=url)), url)
    assert batch.status is Status.COMPLETED, batch.errors


@few
@given(strategies.request_lines(custom_id="a"), strategies.inputs(min_lines=2, model="gpt-4o"))
def test_drawn_lines_are_dicts(line, lines):
    assert line["custom_id"] == "a"
    assert {each["body"]["model"] for each in lines} == {"gpt-4o"}
    assert len({each["custom_id"] for each in lines}) == len(lines) >= 2
    json.dumps([line, *lines])


@pytest.mark.parametrize(
    "code", [None, *strategies.INVALID, "duplicate_custom_id", "mismatched_model", "empty_file"]
)
def test_a_drawn_invalid_file_gets_its_code(code):
    @settings(max_examples=25)
    @given(strategies.invalid_input_files(code))
    def check(drawn):
        if drawn.line is None or (drawn.code == "invalid_json_line" and drawn.line == 1):
            with suppress(BatchsimError):  # an upload whose first line is no JSON may be refused
                assert batch_over(drawn.content).errors[0].code == drawn.code
            return
        batch = batch_over(drawn.content)
        assert batch.status is Status.FAILED
        (found, *_) = batch.errors
        assert (found.code, found.line) == (drawn.code, drawn.line)
        assert code in (None, drawn.code)

    check()


@few
@given(strategies.services(), strategies.input_files())
def test_a_drawn_service_goes_its_way_or_says_why_not(service, content):
    try:
        file = service.upload_file(io.BytesIO(content), filename="input.jsonl")
        batch = service.create_batch(input_file_id=file.id, endpoint=strategies.CHAT)
        service.clock.sleep(3_600)
        assert service.retrieve_batch(batch.id).status in Status
    except BatchsimError:
        pass
    service.close()


@few
@given(strategies.scenarios(most=3), strategies.fault_plans())
def test_scenarios_and_faults_go_together(scenario, faults):
    FakeBackend(scenario=scenario, faults=faults).close()


class Looking(PipelineMachine):
    seen = {}  # noqa: RUF012 - emptied at the start of each run

    @rule(batch=PipelineMachine.batches)
    def look(self, batch):
        now = self.backend.undisturbed.retrieve_batch(batch)
        assert not self.seen.get(batch, now).status.is_terminal or now.status.is_terminal
        self.seen[batch] = now
        for file_id in (now.output_file_id, now.error_file_id):
            if file_id:
                try:
                    assert b"".join(self.backend.undisturbed.read_file(file_id)).endswith(b"\n")
                except NotFound:
                    assert now.status.is_terminal

    def teardown(self):
        self.seen.clear()
        super().teardown()


Looking.TestCase.settings = settings(max_examples=15, stateful_step_count=15)
test_a_machine_of_ones_own = Looking.TestCase


def test_without_hypothesis_they_say_what_to_install():
    code = (
        "import sys; sys.modules['hypothesis'] = None\n"
        "import batchsim\n"
        "try:\n    batchsim.strategies\n"
        "except batchsim.errors.MissingExtra as error:\n    print(error.hint)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "pip install 'batchsim[testing]'\n"
