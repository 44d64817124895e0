"""`batchsim files`: look at the files of a service, download and delete them."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from functools import partial
from pathlib import Path, PureWindowsPath
from typing import TYPE_CHECKING

import click

from batchsim.amounts import counted, distance, instant, size
from batchsim.cli.options import listing
from batchsim.cli.options.groups import examples
from batchsim.cli.terminal.exit_codes import ALL_GOOD, SOME_FAILED
from batchsim.cli.terminal.output import STANDARD_OUTPUT, print_json, refuse_to_overwrite
from batchsim.cli.terminal.table import columns, details, table
from batchsim.domain.limits import OPENAI
from batchsim.domain.validation.error_explanation import shown
from batchsim.errors import NotFound, UsageError
from batchsim.jsonl import replace_file

if TYPE_CHECKING:
    from batchsim.backends import Backend
    from batchsim.domain.files import File

_COLUMNS = columns("ID", "PURPOSE", ">SIZE", ">CREATED", ">EXPIRES", "NAME")


@click.group(
    epilog=examples(
        "files list --purpose batch_output",
        "files download file-abc123 -o output.jsonl",
        "files prune --yes",
    )
)
def files() -> None:
    """List, show, download and delete the files of a service.

    The key is read from OPENAI_API_KEY. OPENAI_BASE_URL names another service, such as `batchsim
    serve`. Nothing here costs money. Exits 1 if an id was refused; the other ids are done.
    """


@files.command("list")
@listing.list_options
@click.option("--purpose", help="Only files with this purpose: batch, batch_output, ...")
@listing.prints_objects
def list_command(*, backend: Backend, limit: int | None, purpose: str | None, as_json: bool) -> int:
    """List the files, the newest first."""
    row = partial(_row, now=backend.clock.now())
    ask, most = partial(backend.list_files, purpose=purpose), OPENAI.files_per_page
    return listing.print_list(ask, _COLUMNS, row, limit=limit, page_size=most, as_json=as_json)


@files.command("show")
@listing.ids_argument("FILE_ID")
@listing.prints_objects
def show_command(*, backend: Backend, ids: tuple[str, ...], as_json: bool) -> int:
    """Show everything about a file except its content."""
    now = backend.clock.now()
    return listing.print_each(
        ids, backend.retrieve_file, lambda file: details(_description(file, now)), as_json=as_json
    )


@files.command("download")
@click.argument("identifier", metavar="FILE_ID")
@click.option(
    "-o",
    "--output",
    metavar="PATH",
    help="The file to write; - is standard output [default: the file's own name, in this folder].",
)
@click.option("--force", is_flag=True, help="Replace the file if it exists.")
@listing.with_service
def download_command(*, backend: Backend, identifier: str, output: str | None, force: bool) -> int:
    """Download a file. It appears under its name once it is complete."""

    def download(identifier: str) -> None:
        if output == STANDARD_OUTPUT:
            for piece in backend.read_file(identifier):
                sys.stdout.buffer.write(piece)
            return
        path = Path(output) if output else own_name(backend.retrieve_file(identifier))
        refuse_to_overwrite(path, force=force)
        with replace_file(Path(os.path.realpath(path))) as stream:
            for piece in backend.read_file(identifier):
                stream.write(piece)
            count = stream.tell()
        click.echo(
            f"{shown(identifier)} is in {shown(str(path))}, {counted(count, 'byte')}", err=True
        )

    return listing.for_each([identifier], download)


@files.command("delete")
@listing.ids_argument("FILE_ID")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@listing.prints_objects
def delete_command(*, backend: Backend, ids: tuple[str, ...], yes: bool, as_json: bool) -> int:
    """Delete files and their contents for good; it asks first."""
    if not (yes or _is_confirmed(len(set(ids)))):
        click.echo("nothing was deleted", err=True)
        return SOME_FAILED

    def delete(identifier: str) -> None:
        backend.delete_file(identifier)
        if as_json:
            answer = {"object": "file", "id": identifier, "deleted": True}
            return print_json(answer)
        return click.echo(f"{shown(identifier)} is deleted")

    return listing.for_each(ids, delete)


@files.command("prune")
@click.option("-y", "--yes", is_flag=True, help="Delete the files that nobody needs any more.")
@click.option(
    "--elsewhere",
    is_flag=True,
    help="With --yes: also delete files of jobs that this machine does not know. Their results may "
    "be nowhere else.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per file.")
@listing.with_service
def prune_command(*, backend: Backend, yes: bool, elsewhere: bool, as_json: bool) -> int:
    """List what earlier jobs left at the service; --yes deletes it.

    The column NEEDED says whether a file may go. `none` means yes: a finished job left it and its
    downloads are on this machine and unchanged, or it is an upload that no batch ever used. Files
    of other programs are not looked at.
    """
    from batchsim.cli.jobs.remote_leftovers import LEFTOVER_COLUMNS, Need, leftover_row, leftovers

    found = list(leftovers(backend))
    removable = {Need.NONE, Need.ELSEWHERE} if elsewhere else {Need.NONE}
    doomed = [each for each in found if each.need in removable]
    if as_json and not yes:
        for each in found:
            print_json(each.to_object(deleted=False))
        return ALL_GOOD
    if not yes:
        now = backend.clock.now()
        for line in table(LEFTOVER_COLUMNS, (leftover_row(each, now) for each in found)):
            click.echo(line)
        total = size(sum(each.file.bytes for each in doomed))
        click.echo(
            f"{len(doomed):,} of {counted(len(found), 'file')} can go, {total}; --yes", err=True
        )
        return ALL_GOOD
    by_id = {each.file.id: each for each in doomed}

    def delete(identifier: str) -> None:
        with suppress(NotFound):  # it has expired meanwhile
            backend.delete_file(identifier)
        if as_json:
            return print_json(by_id[identifier].to_object(deleted=True))
        return click.echo(f"{shown(identifier)} is deleted")

    return listing.for_each(by_id, delete)


def own_name(file: File) -> Path:
    """Return a path in the present folder, named as the file is, or by its id if that name is odd.

    The name comes from outside: it must not lead into another folder or hide the file.
    """
    name = PureWindowsPath(file.filename).name  # which knows both separators, and drives
    if name.startswith(".") or not name.isprintable() or not name:
        name = f"{PureWindowsPath(file.id).name}.jsonl"
    return Path(name)


def _is_confirmed(count: int) -> bool:
    if sys.stdin is None or not sys.stdin.isatty():
        raise UsageError("deleting asks first, and there is no terminal", hint="add --yes")
    what = "this file" if count == 1 else f"these {count:,} files"
    return click.confirm(f"Delete {what} for good?", err=True)


def _row(file: File, now: float) -> tuple[str, ...]:
    return (
        file.id,
        file.purpose,
        size(file.bytes),
        distance(file.created_at, now) if file.created_at else "",
        distance(file.expires_at, now) if file.expires_at else "",
        file.filename,
    )


def _description(file: File, now: float) -> list[tuple[str, str]]:
    moments = {"created_at": file.created_at, "expires_at": file.expires_at}
    texts = {
        "id": file.id,
        "filename": file.filename,
        "purpose": file.purpose,
        "bytes": f"{file.bytes:,}",
        **{
            name: f"{instant(moment)}, {distance(moment, now)}"
            for name, moment in moments.items()
            if moment
        },
        "status": file.status,
        "status_details": file.status_details,
    }
    return [(name, text) for name, text in texts.items() if text]
