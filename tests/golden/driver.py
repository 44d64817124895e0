"""Run one `batchsim` command as the golden jobs need it: stopped at a moment, or on a script.

    python tests/golden/driver.py [--stop WHERE] [--service] -- COMMAND [ARGUMENT]...

The command is that of whatever batchsim the Python has. `--stop` kills the process with SIGKILL.
The moment is named by an entry on the disk or by a request:

    journal:KIND:N:after     the N-th entry of a kind was written to the journal
    journal:KIND:N:before    it is about to be written
    request:NAME:N           the scripted service has done the N-th request of a name, such as
                             "POST /batches", and has not answered it yet

`--service` puts the scripted service of the present folder behind `--real`. Service and command
share a virtual clock, which starts at the time of the last request.

Of batchsim only public names are used, and the journal's own form: one table `entries` in SQLite.
"""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

HOST = "golden"
"""The name of the machine on which the jobs were made."""


@contextmanager
def scripted(
    folder: Path, service_class: Any, heard: Callable[[str], object] = lambda _: None
) -> Iterator[None]:
    """Let every OpenAIBackend speak to the service in `folder` while the block lasts."""
    import openai

    from batchsim import OpenAIBackend, VirtualClock

    library = sys.modules[openai.DefaultHttpxClient.__mro__[-2].__module__.partition(".")[0]]
    clock = VirtualClock()
    service = service_class(folder, clock.now, heard)
    clock.advance_to(service.last_asked)

    class Answer(library.SyncByteStream):
        """A content in two pieces, so that a process can be killed between them."""

        def __init__(self, content: bytes, *, is_file: bool) -> None:
            self._content = content
            self._is_file = is_file

        def __iter__(self) -> Iterator[bytes]:
            middle = len(self._content) // 2
            yield self._content[:middle]
            heard("half a file" if self._is_file else "half an answer")
            yield self._content[middle:]

    def handle(request: Any) -> Any:
        status, content = service.answer(
            request.method,
            request.url.path,
            request.url.query.decode(),
            request.headers.get("content-type", ""),
            request.read(),
        )
        is_file = request.url.path.endswith("/content")
        headers = {"content-type": "application/json", "content-length": str(len(content))}
        return library.Response(status, headers=headers, stream=Answer(content, is_file=is_file))

    made = OpenAIBackend.__init__

    def make(self: Any, client: Any = None, base_url: Any = None, **options: Any) -> None:
        client = openai.OpenAI(
            api_key=service_class.key,
            base_url=service_class.url,
            http_client=library.Client(transport=library.MockTransport(handle)),
        )
        made(self, client, clock=clock, provider=options.get("provider"))

    OpenAIBackend.__init__ = make
    try:
        yield
    finally:
        OpenAIBackend.__init__ = made


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def stop_at_entry(kind: str, number: int, *, before: bool) -> None:
    """Kill this process after, or just before, that entry is written to the journal."""
    connect = sqlite3.connect

    class Watched(sqlite3.Connection):
        def execute(self, sql: str, *arguments: Any) -> sqlite3.Cursor:
            is_commit = sql == "COMMIT"
            if is_commit and before and self._has_it():
                kill()
            told = super().execute(sql, *arguments)
            if is_commit and self._has_it():
                kill()
            return told

        def _has_it(self) -> bool:
            try:
                counted = super().execute("SELECT count(*) FROM entries WHERE kind = ?", (kind,))
            except sqlite3.OperationalError:  # no journal
                return False
            return counted.fetchone()[0] >= number

    sqlite3.connect = lambda *arguments, **options: connect(
        *arguments, **{"factory": Watched, **options}
    )


def stop_at_request(name: str, number: int) -> Callable[[str], None]:
    """Return a listener that kills this process at the N-th request of that name."""
    heard = 0

    def hear(request: str) -> None:
        nonlocal heard
        heard += request == name
        if heard == number:
            kill()

    return hear


def main() -> None:
    """Run one command."""
    from service import Service

    split = sys.argv.index("--")
    options, arguments = sys.argv[1:split], sys.argv[split + 1 :]
    heard: Callable[[str], object] = lambda _: None  # noqa: E731
    if "--stop" in options:
        what, name, number, *moment = options[options.index("--stop") + 1].split(":")
        if what == "journal":
            stop_at_entry(name, int(number), before=moment == ["before"])
        else:
            heard = stop_at_request(name, int(number))
    socket.gethostname = lambda: HOST
    sys.argv = ["batchsim", *arguments]
    from batchsim.cli import main as command_line

    if "--service" in options:
        with scripted(Path.cwd(), Service, heard):
            command_line()
    else:
        command_line()


if __name__ == "__main__":
    main()
