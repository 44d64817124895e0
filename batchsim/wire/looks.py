"""A look at one batch or file, asked again and again by a client that waits.

Theory of operation. Most requests are such looks, and each is the same as the one before it. What the
request says is found out once: whose it is, what it is about. From then on each answer costs a
question to the backend, which must keep nobody waiting (see Prompt), and the headers that tell one
answer from another. What the backend shows is rendered when it shows another object than before.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, cast

from batchsim.backends import Backend, Prompt
from batchsim.wire.endpoints.route import Showing
from batchsim.wire.http.message import Headers, Response
from batchsim.wire.http.render import Profile


class Look:
    """A request for the batch or file `identifier`, to be answered any number of times.

    `find` finds the backend that is asked, None while there is none; `headers` makes those that
    every answer has besides its own. May be called from any thread.
    """

    def __init__(
        self,
        showing: Showing,
        identifier: str,
        profile: Profile,
        find: Callable[[], Backend | None],
        headers: Callable[[], Headers],
    ) -> None:
        self._showing = showing
        self._identifier = identifier
        self._profile = profile
        self._find = find
        self._headers = headers
        self._latest: tuple[Any, Response] | None = None

    def answer(self) -> Response | None:
        """The answer as of now; None, and nothing has happened, when it might take time or be a refusal."""
        backend = self._find()
        if backend is None or not _can_tell(type(backend)):
            return None
        value = self._showing.ask(cast(Prompt, backend), self._identifier)
        if value is None:
            return None
        latest = self._latest
        if latest is None or latest[0] is not value:
            latest = self._latest = value, _compact(self._showing.render(value, self._profile))
        shown = latest[1]
        return Response(shown.status, shown.headers + self._headers(), shown.body)


def _compact(response: Response) -> Response:
    """The same, to be kept: what orjson makes takes 8 KiB of memory, however little it says."""
    body = tuple(bytes(memoryview(piece)) for piece in response.body)
    return Response(response.status, response.headers, body)


@functools.cache
def _can_tell(kind: type[Backend]) -> bool:
    """Whether such a backend knows when it keeps nobody waiting."""
    return issubclass(kind, Prompt)
