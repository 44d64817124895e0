import io
import json
import os
import sys

import pytest

from batchsim.cli import main
from batchsim.cli.commands.files import own_name
from batchsim.domain.files import File

LINE = b'{"custom_id": "a", "method": "POST", "url": "/v1/embeddings", "body": {"model": "text-embedding-3-small", "input": "Hi"}}\n'


@pytest.fixture
def upload(service):
    """`upload(filename)` -> the file, a minute after the one before it."""

    def put(filename="input.jsonl", content=LINE, **options):
        file = service.upload_file(io.BytesIO(content), filename=filename, **options)
        service.clock.advance(60)
        return file

    return put


def test_files_are_listed_newest_first_with_size_and_ages(batchsim, upload) -> None:
    old, new = upload("old.jsonl"), upload("new.jsonl", LINE * 20, expires_after=7_200)
    outcome = batchsim("files", "list")
    assert (outcome.code, outcome.stderr) == (0, "")
    assert [line.split() for line in outcome.stdout.splitlines()] == [
        ["ID", "PURPOSE", "SIZE", "CREATED", "EXPIRES", "NAME"],
        [new.id, "batch", "2.4", "kB", "60", "s", "ago", "in", "119", "min", "new.jsonl"],
        [old.id, "batch", "122", "B", "2", "min", "ago", "in", "30", "days", "old.jsonl"],
    ]


def test_the_json_of_a_list_is_the_apis_own_objects(batchsim, upload) -> None:
    old, new = upload("old.jsonl"), upload("new.jsonl")
    outcome = batchsim("files", "list", "--json")
    assert [json.loads(line) for line in outcome.stdout.splitlines()] == [
        new.to_object(),
        old.to_object(),
    ]


@pytest.mark.parametrize(
    ("options", "expected", "is_told_of_more"),
    [
        ((), 20, True),
        (("--limit", "3"), 3, True),
        (("--limit", "25"), 25, False),
        (("--limit", "26"), 25, False),
        (("--all",), 25, False),
        (("--all", "--limit", "3"), 25, False),
    ],
    ids=str,
)
def test_a_list_ends_where_it_was_asked_to(
    batchsim, upload, options, expected, is_told_of_more
) -> None:
    for _ in range(25):
        upload()
    outcome = batchsim("files", "list", "--json", *options)
    assert len(outcome.stdout.splitlines()) == expected
    assert ("there are more" in outcome.stderr) is is_told_of_more


def test_all_reads_page_after_page(batchsim, upload, service, monkeypatch) -> None:
    uploaded = [upload().id for _ in range(7)]
    whole = service.list_files
    monkeypatch.setattr(
        service, "list_files", lambda *, limit, **more: whole(limit=min(limit, 3), **more)
    )
    outcome = batchsim("files", "list", "--all", "--json")
    assert [json.loads(line)["id"] for line in outcome.stdout.splitlines()] == uploaded[::-1]


def test_files_can_be_listed_by_purpose(batchsim, upload) -> None:
    upload()
    other = upload("notes.txt", b"notes", purpose="user_data")
    outcome = batchsim("files", "list", "--purpose", "user_data", "--json")
    assert [json.loads(line)["id"] for line in outcome.stdout.splitlines()] == [other.id]


def test_a_file_is_shown_with_its_times(batchsim, upload) -> None:
    file = upload()
    assert batchsim("files", "show", file.id).stdout == (
        f"id          {file.id}\n"
        "filename    input.jsonl\n"
        "purpose     batch\n"
        "bytes       122\n"
        "created_at  2026-01-01T00:00:00Z, 60 s ago\n"
        "expires_at  2026-01-31T00:00:00Z, in 30 days\n"
        "status      processed\n"
    )


def test_an_unknown_id_is_told_and_the_others_are_shown(batchsim, upload) -> None:
    file = upload()
    outcome = batchsim("files", "show", "--json", "file-none", file.id)
    assert outcome.code == 1
    assert json.loads(outcome.stdout) == file.to_object()
    assert "error: No such File object: file-none" in outcome.stderr


@pytest.mark.parametrize("options", [(), ("-o", "input.jsonl"), ("-o", "./input.jsonl")], ids=str)
def test_a_download_is_the_file_to_the_byte(batchsim, desk, upload, options) -> None:
    file = upload(content=LINE + b"\xe3\x81\x82")
    outcome = batchsim("files", "download", file.id, *options)
    assert (outcome.code, outcome.stdout) == (0, "")
    assert outcome.stderr == f"{file.id} is in input.jsonl, 125 bytes\n"
    assert (desk / "input.jsonl").read_bytes() == LINE + b"\xe3\x81\x82"


def test_a_download_goes_to_standard_output_when_asked(batchsim, desk, upload) -> None:
    outcome = batchsim("files", "download", upload().id, "-o", "-")
    assert (outcome.code, outcome.stderr) == (0, "")
    assert outcome.stdout.encode() == LINE
    assert [path.name for path in desk.iterdir()] == [".stdin"]


@pytest.mark.parametrize("options", [(), ("-o", "input.jsonl")], ids=str)
def test_a_download_overwrites_only_by_force(batchsim, desk, upload, options) -> None:
    file = upload()
    (desk / "input.jsonl").write_text("mine")
    refused = batchsim("files", "download", file.id, *options)
    assert refused.code == 2
    assert "input.jsonl exists" in refused.stderr
    assert "--force" in refused.stderr
    assert (desk / "input.jsonl").read_text() == "mine"
    assert batchsim("files", "download", file.id, *options, "--force").code == 0
    assert (desk / "input.jsonl").read_bytes() == LINE


@pytest.mark.parametrize(
    ("path", "reason"),
    [("folder", "is not an ordinary file"), ("none/x.jsonl", "the directory none does not exist")],
)
def test_a_download_needs_a_place_for_a_file(batchsim, desk, upload, path, reason) -> None:
    (desk / "folder").mkdir()
    outcome = batchsim("files", "download", upload().id, "-o", path, "--force")
    assert outcome.code == 2
    assert reason in outcome.stderr


def test_a_forced_download_replaces_what_a_link_points_at(batchsim, desk, upload) -> None:
    (desk / "target").write_text("old")
    (desk / "link").symlink_to("target")
    assert batchsim("files", "download", upload().id, "-o", "link", "--force").code == 0
    assert (desk / "link").is_symlink()
    assert (desk / "target").read_bytes() == LINE


def test_a_download_that_breaks_leaves_nothing_and_may_be_repeated(
    batchsim, desk, upload, service, monkeypatch
) -> None:
    from batchsim.errors import Unavailable

    def breaking(_file_id):
        yield LINE[:9]
        raise Unavailable("gone")

    file = upload()
    monkeypatch.setattr(service, "read_file", breaking)
    outcome = batchsim("files", "download", file.id)
    assert outcome.code == 75
    assert "the content ended after 9 bytes" in outcome.stderr
    assert [path.name for path in desk.iterdir()] == [".stdin"]


@pytest.mark.parametrize(
    ("filename", "expected"),
    [
        ("results.jsonl", "results.jsonl"),
        ("日本.jsonl", "日本.jsonl"),
        ("../../etc/passwd", "passwd"),
        ("/etc/passwd", "passwd"),
        ("C:\\Windows\\x.jsonl", "x.jsonl"),
        ("..", "file-1.jsonl"),
        ("", "file-1.jsonl"),
        (".bashrc", "file-1.jsonl"),
        ("a\x1b[2J.jsonl", "file-1.jsonl"),
    ],
)
def test_the_services_name_for_a_file_leads_nowhere_else(filename, expected) -> None:
    file = File(id="file-1", purpose="batch", filename=filename, bytes=0, created_at=0)
    assert str(own_name(file)) == expected


def test_deleting_without_a_terminal_needs_yes(batchsim, upload, service) -> None:
    file = upload()
    refused = batchsim("files", "delete", file.id)
    assert refused.code == 2
    assert "hint: add --yes" in refused.stderr
    assert service.retrieve_file(file.id) == file
    outcome = batchsim("files", "delete", file.id, "--yes")
    assert (outcome.code, outcome.stdout) == (0, f"{file.id} is deleted\n")
    assert service.list_files().data == ()


@pytest.mark.skipif(os.name == "nt", reason="there are no pseudo-terminals on Windows")
@pytest.mark.parametrize(
    ("answer", "code", "left"), [(b"y\n", 0, 0), (b"n\n", 1, 2), (b"\n", 1, 2)]
)
def test_deleting_asks_on_a_terminal(
    upload, service, monkeypatch, capfd, answer, code, left
) -> None:
    ids = [upload().id, upload().id]
    terminal, stdin = os.openpty()
    os.write(terminal, answer)
    with os.fdopen(stdin) as stream, os.fdopen(terminal, "rb"):
        monkeypatch.setattr(sys, "stdin", stream)
        monkeypatch.setattr(sys, "argv", ["batchsim", "files", "delete", *ids])
        with pytest.raises(SystemExit) as ended:
            main()
    out, err = capfd.readouterr()
    assert ended.value.code == code
    assert "Delete these 2 files for good? [y/N]" in out + err
    assert len(service.list_files().data) == left


def test_each_file_is_deleted_once_and_the_refused_are_told(batchsim, upload) -> None:
    first, second = upload().id, upload().id
    outcome = batchsim("files", "delete", "--yes", "--json", first, "file-none", first, second)
    assert outcome.code == 1
    assert [json.loads(line) for line in outcome.stdout.splitlines()] == [
        {"object": "file", "id": first, "deleted": True},
        {"object": "file", "id": second, "deleted": True},
    ]
    assert outcome.stderr == "error: No such File object: file-none\n"


def test_hostile_names_cannot_write_to_the_terminal(batchsim, upload) -> None:
    upload("a\x1b[2J\n.jsonl")
    outcome = batchsim("files", "list")
    assert "\x1b" not in outcome.stdout
    assert len(outcome.stdout.splitlines()) == 2
