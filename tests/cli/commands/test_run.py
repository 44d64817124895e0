import io
import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from batchsim.backends.fake import FakeBackend
from batchsim.errors import OutcomeUnknown
from batchsim.wire import App, Response
from tests.repository import DEMO_INPUT


def chat_line(custom_id: str, **body) -> dict:
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hi"}], **body}
    return {"custom_id": custom_id, "method": "POST", "url": "/v1/chat/completions", "body": body}


def write_lines(path: Path, *lines: dict) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    return path


def custom_ids(results: str) -> list[str]:
    return [json.loads(line)["custom_id"] for line in results.splitlines()]


def test_nobody_spends_money_by_default(batchsim, desk) -> None:
    outcome = batchsim("run", str(DEMO_INPUT))
    assert outcome.code == 2
    assert outcome.stdout == ""
    assert "neither --fake nor --real" in outcome.stderr
    assert "hint: rehearse with `batchsim run --fake" in outcome.stderr
    assert [path.name for path in desk.iterdir()] == [".stdin"]


def test_fake_and_real_together_are_refused(batchsim, desk) -> None:
    outcome = batchsim("run", "--fake", "--real", str(DEMO_INPUT))
    assert outcome.code == 2
    assert "exclude each other" in outcome.stderr


def test_results_come_in_input_order(batchsim, desk) -> None:
    write_lines(desk / "input.jsonl", *(chat_line(f"line-{n}") for n in range(200)))
    outcome = batchsim("run", "--fake", "input.jsonl", "-o", "results.jsonl")
    assert outcome.code == 0
    assert outcome.stdout == ""
    results = (desk / "results.jsonl").read_text("utf-8")
    assert custom_ids(results) == [f"line-{n}" for n in range(200)]
    assert "200 lines: 200 ok; 1 batch" in outcome.stderr


def test_without_an_output_the_results_go_to_stdout(batchsim, desk) -> None:
    write_lines(desk / "input.jsonl", chat_line("b"), chat_line("a"))
    outcome = batchsim("run", "--fake", "input.jsonl")
    assert custom_ids(outcome.stdout) == ["b", "a"]
    assert (desk / "input.jsonl.job" / "results.jsonl").read_text("utf-8") == outcome.stdout


def test_the_input_may_be_standard_input(batchsim, desk) -> None:
    outcome = batchsim("run", "--fake", "-", stdin=DEMO_INPUT.read_bytes())
    assert outcome.code == 0
    assert custom_ids(outcome.stdout) == ["request-1", "request-2", "request-3"]


def test_a_line_that_fails_makes_the_exit_code_1(batchsim, desk) -> None:
    write_lines(desk / "input.jsonl", chat_line("good"), chat_line("bad", temperature=999))
    outcome = batchsim("run", "--fake", "input.jsonl")
    good, bad = (json.loads(line) for line in outcome.stdout.splitlines())
    assert outcome.code == 1
    assert good["response"]["status_code"] == 200
    assert bad["response"]["status_code"] == 400
    assert "2 lines: 1 ok, 1 failed" in outcome.stderr


def test_several_models_and_endpoints_make_several_batches(batchsim, desk) -> None:
    embedding = {
        "custom_id": "e",
        "method": "POST",
        "url": "/v1/embeddings",
        "body": {"model": "text-embedding-3-small", "input": "Hi"},
    }
    write_lines(
        desk / "input.jsonl",
        chat_line("a"),
        embedding,
        chat_line("b", model="gpt-4o"),
        chat_line("c"),
    )
    outcome = batchsim("run", "--fake", "input.jsonl")
    assert outcome.code == 0
    assert custom_ids(outcome.stdout) == ["a", "e", "b", "c"]
    assert "4 lines: 4 ok; 3 batches" in outcome.stderr


def test_bad_input_is_refused_before_anything_is_sent(batchsim, desk) -> None:
    write_lines(desk / "input.jsonl", chat_line("a"), chat_line("a"))
    outcome = batchsim("run", "--fake", "input.jsonl")
    assert outcome.code == 2
    assert "input.jsonl:2" in outcome.stderr
    assert "duplicate" in outcome.stderr
    assert "Traceback" not in outcome.stderr
    assert sorted(path.name for path in desk.iterdir()) == [".stdin", "input.jsonl"]


def test_the_same_command_again_sends_nothing_and_gives_the_same_results(
    batchsim, desk, monkeypatch
) -> None:
    first = batchsim("run", "--fake", str(DEMO_INPUT), "-o", "results.jsonl")
    before = (desk / "results.jsonl").read_bytes()
    monkeypatch.setattr(FakeBackend, "create_batch", lambda *_, **__: pytest.fail("paid again"))
    monkeypatch.setattr(FakeBackend, "upload_file", lambda *_, **__: pytest.fail("sent again"))
    again = batchsim("run", "--fake", str(DEMO_INPUT), "-o", "results.jsonl")
    assert (first.code, again.code) == (0, 0)
    assert (desk / "results.jsonl").read_bytes() == before


def test_without_a_key_the_real_service_is_not_asked(batchsim, desk) -> None:
    outcome = batchsim("run", "--real", str(DEMO_INPUT), "-o", "results.jsonl")
    assert outcome.code == 2
    assert "OPENAI_API_KEY" in outcome.stderr
    assert "Traceback" not in outcome.stderr


@pytest.mark.parametrize("call", ["upload_file", "create_batch", "retrieve_batch", "read_file"])
def test_ctrl_c_leaves_a_job_that_the_same_command_finishes(
    batchsim, desk, monkeypatch, call
) -> None:
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(FakeBackend, call, interrupted)
        outcome = batchsim("run", "--fake", str(DEMO_INPUT), "-o", "results.jsonl")
    assert outcome.code == 130
    assert "the same command goes on where this one stopped" in outcome.stderr
    assert "Traceback" not in outcome.stderr
    assert not (desk / "results.jsonl").exists()
    assert batchsim("run", "--fake", str(DEMO_INPUT), "-o", "results.jsonl").code == 0
    assert len(custom_ids((desk / "results.jsonl").read_text("utf-8"))) == 3


@pytest.mark.slow
@pytest.mark.parametrize("line", range(1, 8))
def test_a_killed_run_goes_on_where_it_was(batchsim, desk, process, line) -> None:
    write_lines(desk / "input.jsonl", *(chat_line(f"line-{n}") for n in range(1_000)))
    running = process("run", "--fake", "input.jsonl", "-o", "results.jsonl")
    for _ in range(line):
        running.stderr.readline()
    running.kill()
    running.communicate()
    outcome = batchsim("run", "--fake", "input.jsonl", "-o", "results.jsonl")
    assert outcome.code == 0
    results = (desk / "results.jsonl").read_text("utf-8")
    assert custom_ids(results) == [f"line-{n}" for n in range(1_000)]
    assert "; 1 batch," in outcome.stderr


def test_a_reader_that_goes_away_is_no_traceback(desk, process) -> None:
    write_lines(desk / "input.jsonl", *(chat_line(f"line-{n}") for n in range(2_000)))
    running = process("run", "--fake", "input.jsonl")
    running.stdout.close()
    running.stdout = None
    _, err = running.communicate()
    assert b"Traceback" not in err
    assert running.returncode == 141


def test_results_over_the_input_are_refused(batchsim, desk) -> None:
    path = write_lines(desk / "input.jsonl", chat_line("a"))
    before = path.read_bytes()
    assert batchsim("run", "--fake", "input.jsonl", "--job", "job").code == 0
    (desk / "link.jsonl").symlink_to(path)
    (desk / "hard.jsonl").hardlink_to(path)
    for output in ("./input.jsonl", "link.jsonl", "hard.jsonl"):
        for job in ("job", "another"):
            outcome = batchsim("run", "--fake", "input.jsonl", "-o", output, "--job", job)
            assert outcome.code == 2
            assert "is the input itself" in outcome.stderr
    assert path.read_bytes() == before


@pytest.mark.parametrize("name", ["journal.db", "lock", "holder.json", "shards/0001.index"])
def test_results_over_a_file_of_the_job_are_refused(batchsim, desk, name) -> None:
    (desk / "job" / "shards").mkdir(parents=True)
    outcome = batchsim("run", "--fake", str(DEMO_INPUT), "-o", f"job/{name}", "--job", "job")
    assert outcome.code == 2
    assert "the job's own file" in outcome.stderr


def test_results_over_what_is_no_file_are_refused(batchsim, desk) -> None:
    os.mkfifo(desk / "pipe")
    outcome = batchsim("run", "--fake", str(DEMO_INPUT), "-o", "pipe")
    assert outcome.code == 2
    assert "is not an ordinary file" in outcome.stderr
    assert (desk / "pipe").is_fifo()
    assert not (desk / "pipe.job").exists()


def test_results_through_a_link_leave_the_link_and_replace_its_target(batchsim, desk) -> None:
    (desk / "elsewhere").mkdir()
    (desk / "results.jsonl").symlink_to("elsewhere/results.jsonl")
    assert batchsim("run", "--fake", str(DEMO_INPUT), "-o", "results.jsonl").code == 0
    assert (desk / "results.jsonl").is_symlink()
    assert len((desk / "elsewhere" / "results.jsonl").read_bytes().splitlines()) == 3


@pytest.mark.parametrize("name", ["journal.db", "shards"])
def test_a_job_whose_journal_or_downloads_are_a_link_is_refused(batchsim, desk, name) -> None:
    command = ("run", "--fake", str(DEMO_INPUT), "-o", "results.jsonl")
    assert batchsim(*command).code == 0
    (desk / "results.jsonl.job" / name).rename(desk / "elsewhere")
    (desk / "results.jsonl.job" / name).symlink_to(desk / "elsewhere")
    outcome = batchsim(*command)
    assert outcome.code == 2
    assert f"{name} is a link, which no runner made" in outcome.stderr
    if name == "journal.db":
        assert "is a link" in batchsim("status", "results.jsonl.job").stderr


def test_a_folder_that_takes_no_results_is_told_before_anything_is_sent(
    batchsim, desk, monkeypatch
) -> None:
    monkeypatch.setattr(FakeBackend, "upload_file", lambda *_, **__: pytest.fail("sent"))
    monkeypatch.setattr(os, "access", lambda *_, **__: False)
    outcome = batchsim("run", "--fake", str(DEMO_INPUT), "-o", "results.jsonl", "--job", "job")
    assert outcome.code == 2
    assert "nothing may be written into" in outcome.stderr


def test_a_job_folder_that_may_not_be_looked_at_is_told(batchsim, desk, monkeypatch) -> None:
    def denied(self, *_, **__):
        raise PermissionError(13, "Permission denied", str(self))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "mkdir", denied)
        outcome = batchsim("run", "--fake", str(DEMO_INPUT), "--job", "closed/job")
    assert outcome.code == 2
    assert "cannot make the job directory" in outcome.stderr
    assert "hint: name another" in outcome.stderr


def test_a_job_folder_that_is_a_file_is_told(batchsim, desk) -> None:
    (desk / "job").write_bytes(b"mine")
    outcome = batchsim("run", "--fake", str(DEMO_INPUT), "--job", "job")
    assert outcome.code == 2
    assert "the job directory job is a file" in outcome.stderr
    assert (desk / "job").read_bytes() == b"mine"


def test_a_second_run_of_a_job_is_told_of_the_first_and_leaves_it_alone(batchsim, desk) -> None:
    from batchsim.stores.disk import DiskStore

    store = DiskStore(desk / "job" / "fake")
    outcome = batchsim("run", "--fake", str(DEMO_INPUT), "--job", "job")
    assert outcome.code == 2
    assert "if another run of this job is at work, wait for it" in outcome.stderr
    assert (desk / "job" / "fake").is_dir()
    store.close()


def test_a_dash_as_the_output_is_standard_output(batchsim, desk) -> None:
    outcome = batchsim("run", "--fake", str(DEMO_INPUT), "-o", "-", "--job", "job")
    assert custom_ids(outcome.stdout) == ["request-1", "request-2", "request-3"]
    assert not (desk / "-").exists()


@pytest.mark.parametrize("content", [b"", b"{not json\n"])
def test_bad_standard_input_is_named_and_leaves_no_trace(batchsim, desk, content) -> None:
    outcome = batchsim("run", "--fake", "-", stdin=content)
    assert outcome.code == 2
    assert "error: standard input:" in outcome.stderr
    assert [path.name for path in desk.iterdir()] == [".stdin"]


def test_a_results_path_that_is_a_folder_is_refused(batchsim, desk) -> None:
    write_lines(desk / "input.jsonl", chat_line("a"))
    (desk / "results").mkdir()
    outcome = batchsim("run", "--fake", "input.jsonl", "-o", "results")
    assert outcome.code == 2
    assert "is a directory" in outcome.stderr


def test_a_job_of_the_simulator_is_not_continued_for_money(batchsim, desk, monkeypatch) -> None:
    assert batchsim("run", "--fake", str(DEMO_INPUT), "-o", "results.jsonl").code == 0
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    outcome = batchsim("run", "--real", str(DEMO_INPUT), "-o", "results.jsonl")
    assert outcome.code == 2
    assert "was begun on" in outcome.stderr


@pytest.mark.skipif(os.name == "nt", reason="signals differ on Windows")
@pytest.mark.slow
def test_an_interrupt_of_the_whole_process_ends_it_with_130(desk, process) -> None:
    write_lines(desk / "input.jsonl", *(chat_line(f"line-{n}") for n in range(10_000)))
    running = process("run", "--fake", "input.jsonl", "-o", "results.jsonl")
    running.stderr.readline()
    running.send_signal(signal.SIGINT)
    _, err = running.communicate()
    assert running.returncode == 130
    assert b"Traceback" not in err


@pytest.mark.parametrize("amount", ["1e309", "nan", "-5", "$5", "5,00", "", "0", "inf", "٣"])
def test_row_106_a_cap_that_is_no_amount_is_refused(batchsim, desk, amount):
    ended = batchsim("run", "--fake", "input.jsonl", f"--max-cost={amount}")
    assert ended.code == 2
    assert "--max-cost" in ended.stderr


@pytest.mark.parametrize(
    "odd", [{"n": 5.0}, {"n": "5"}, {"n": True}, {"best_of": 5.0}, {"max_tokens": 9.0}], ids=str
)
def test_an_odd_number_of_answers_is_not_sent_under_a_cap(batchsim, desk, real, odd):
    write_lines(
        desk / "input.jsonl",
        chat_line("a", max_tokens=9),
        chat_line("b", **{"max_tokens": 9, **odd}),
    )
    ended = batchsim("run", "--real", "input.jsonl", "-o", "r.jsonl", "--max-cost", "5")
    assert ended.code == 75, ended.stderr
    assert "set no limit to their output" in ended.stderr
    assert not real.list_batches().data


@pytest.mark.parametrize(
    "limit", ["gpt-4o", "gpt-4o=", "=5", "gpt-4o=-1", "gpt-4o=0", "gpt-4o=1e5"]
)
def test_a_queue_limit_that_is_none_is_refused(batchsim, desk, limit):
    ended = batchsim("run", "--fake", "input.jsonl", "--queue-limit", limit)
    assert ended.code == 2
    assert "MODEL=TOKENS" in ended.stderr


def test_a_queue_limit_cuts_the_input_to_fit(batchsim, desk):
    lines = [chat_line(f"id-{n}") for n in range(4)]
    source = write_lines(desk / "four.jsonl", *lines)
    ended = batchsim(
        "run", "--fake", str(source), "-o", "r.jsonl", "--queue-limit", "gpt-4o-mini=20"
    )
    assert ended.code == 0, ended.stderr
    assert "1 batch," not in ended.stderr


def test_batches_that_the_job_did_not_make_are_told_with_exit_code_3(
    batchsim, desk, monkeypatch
) -> None:
    """Another runner with a copy of the job makes one while the results are fetched."""
    made = []
    read_file = FakeBackend.read_file

    def make_another(self, file_id):
        if not made:
            (batch,) = self.undisturbed.list_batches().data
            made.append(
                self.undisturbed.create_batch(
                    input_file_id=batch.input_file_id,
                    endpoint=batch.endpoint,
                    metadata=batch.metadata,
                ).id
            )
        return read_file(self, file_id)

    monkeypatch.setattr(FakeBackend, "read_file", make_another)
    write_lines(desk / "input.jsonl", chat_line("a"))
    outcome = batchsim("run", "--fake", "input.jsonl", "-o", "results.jsonl")
    assert outcome.code == 3
    assert made[0] in outcome.stderr
    assert "hint: another runner with a copy of the job directory" in outcome.stderr
    assert custom_ids((desk / "results.jsonl").read_text("utf-8")) == ["a"]
    again = batchsim("run", "--fake", "input.jsonl", "-o", "results.jsonl")
    assert again.code == 3, "the code stays as long as the job does"


@pytest.mark.parametrize("status", [500, 400])
def test_an_answer_in_an_odd_charset_is_read_by_its_status(
    batchsim, desk, real, monkeypatch, status
) -> None:
    """The batch is made, and its answer, a 500, claims a charset in which nothing can be read."""
    handle = App.handle
    creates = []

    def odd(app, request):
        if (request.method, request.path) != ("POST", "/v1/batches"):
            return handle(app, request)
        creates.append(request.path)
        if status == 500:
            handle(app, request)
        headers = (("content-type", "text/plain; charset=rot13"),)
        return Response(status, headers, iter([b"it went wrong"]))

    monkeypatch.setattr(App, "handle", odd)
    write_lines(desk / "input.jsonl", chat_line("a"))
    ended = batchsim("run", "--real", "input.jsonl", "-o", "r.jsonl")
    assert "Traceback" not in ended.stderr
    assert len(creates) == 1
    if status == 500:
        assert ended.code == 0, "the batch runs, and the list shows it"
        assert len(real.list_batches().data) == 1
    else:
        assert ended.code == 75
        assert "it went wrong" in ended.stderr


def test_our_ids_outrank_a_date_before_the_files(batchsim, desk, real, monkeypatch) -> None:
    """The answer to the create is lost; the list shows the batch an hour older than its file."""
    create, pages, asked = FakeBackend.create_batch, FakeBackend.list_batches, []

    def lost(self, **options):
        asked.append(options)
        create(self, **options)
        raise OutcomeUnknown("no answer")

    def older(self, **options):
        page = pages(self, **options)
        data = tuple(replace(each, created_at=each.created_at - 3_600) for each in page.data)
        return replace(page, data=data)

    monkeypatch.setattr(FakeBackend, "create_batch", lost)
    monkeypatch.setattr(FakeBackend, "list_batches", older)
    write_lines(desk / "input.jsonl", chat_line("one"), chat_line("two"))
    outcome = batchsim(
        "run", "--real", "input.jsonl", "-o", "results.jsonl", "--on-unknown", "fence"
    )
    assert outcome.code == 0, outcome.stderr
    assert len(asked) == len(real.list_batches().data) == 1
    assert custom_ids((desk / "results.jsonl").read_text("utf-8")) == ["one", "two"]


def test_an_older_batch_with_copied_metadata_does_not_take_the_place_of_ours(
    batchsim, desk, real, monkeypatch
) -> None:
    """It appears while ours runs, with the same metadata over other lines."""
    create, pages, foreign = FakeBackend.create_batch, FakeBackend.list_batches, []

    def copied(self, **options):
        ours = create(self, **options)
        lines = write_lines(desk / "other.jsonl", chat_line("theirs")).read_bytes()
        file = self.upload_file(io.BytesIO(lines), filename="theirs.jsonl")
        theirs = create(
            self,
            input_file_id=file.id,
            endpoint=options["endpoint"],
            metadata=options["metadata"],
        )
        foreign.append(theirs.id)
        return ours

    def listed(self, **options):
        page = pages(self, **options)
        data = tuple(
            replace(each, created_at=each.created_at - 30) if each.id in foreign else each
            for each in page.data
        )
        return replace(page, data=data)

    monkeypatch.setattr(FakeBackend, "create_batch", copied)
    monkeypatch.setattr(FakeBackend, "list_batches", listed)
    write_lines(desk / "input.jsonl", chat_line("one"), chat_line("two"))
    outcome = batchsim("run", "--real", "input.jsonl", "-o", "results.jsonl")
    assert custom_ids((desk / "results.jsonl").read_text("utf-8")) == ["one", "two"]
    assert len(foreign) == 1, "nothing is sent again"
    assert outcome.code == 3
    assert foreign[0] in outcome.stderr


def test_what_was_left_out_when_the_job_began_is_not_left_out_in_silence(batchsim, desk) -> None:
    write_lines(desk / "input.jsonl", chat_line("one"), chat_line("one"))
    run = ("run", "--fake", "input.jsonl", "-o", "results.jsonl")
    assert batchsim(*run, "--skip-invalid").code == 1
    refused = batchsim(*run)
    assert refused.code == 2
    assert "begun with other arguments: it leaves out 1 invalid line" in refused.stderr
    assert batchsim(*run, "--skip-invalid").code == 1


def test_a_scenario_is_rehearsed(batchsim, desk) -> None:
    outcome = batchsim(
        "run", "--fake", str(DEMO_INPUT), "-o", "results.jsonl", "--scenario", "expired_empty",
        "--retries", "0",
    )  # fmt: skip
    assert outcome.code == 1
    lines = [json.loads(each) for each in (desk / "results.jsonl").read_text().splitlines()]
    assert {each["error"]["code"] for each in lines} == {"batch_expired"}


def test_a_plan_of_faults_is_rehearsed(batchsim, desk) -> None:
    (desk / "plan.toml").write_text('[[lines]]\nfault = "error"\nline = 2\n')
    outcome = batchsim(
        "run", "--fake", str(DEMO_INPUT), "-o", "results.jsonl", "--faults", "plan.toml",
        "--retries", "0",
    )  # fmt: skip
    assert outcome.code == 1, outcome.stderr
    lines = [json.loads(each) for each in (desk / "results.jsonl").read_text().splitlines()]
    assert [each["response"]["status_code"] for each in lines] == [200, 500, 200]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--real", "--scenario", "slow"), "--scenario and --faults are for the fake"),
        (("--real", "--faults", "plan.toml"), "--scenario and --faults are for the fake"),
        (("--fake", "--scenario", "sunny"), "sunny"),
        (("--fake", "--faults", "none.toml"), "none.toml"),
    ],
)
def test_a_rehearsal_that_cannot_be_is_refused_before_anything_is_made(
    batchsim, desk, arguments, words
) -> None:
    outcome = batchsim("run", *arguments, str(DEMO_INPUT), "-o", "results.jsonl")
    assert outcome.code == 2
    assert words in outcome.stderr
    assert not (desk / "results.jsonl.job").exists()


def test_the_scenarios_of_a_rehearsal_can_be_listed(batchsim, desk) -> None:
    outcome = batchsim("run", "--fake", str(DEMO_INPUT), "--scenario", "list")
    assert outcome.code == 0
    assert "expired_partial" in outcome.stdout
    assert not list(desk.glob("*.job"))
