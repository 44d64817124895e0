"""A route: what is asked for, and the function that answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import unquote

from batchsim.backends import Backend
from batchsim.wire.message import Request, Response
from batchsim.wire.render import Profile


class Call(NamedTuple):
    """A request that has found its route. `identifier` is what stands for `{id}`, unescaped."""

    backend: Backend
    request: Request
    identifier: str
    profile: Profile


class Route(NamedTuple):
    """Requests of one method for one path; in `path`, `{id}` stands for any one segment."""

    method: str
    path: str
    handler: Callable[[Call], Response]

    def match(self, path: str) -> str | None:
        """What stands for `{id}` in a request's path ("" without one); None when it differs."""
        identifier = ""
        wanted, given = self.path.split("/"), path.split("/")
        if len(wanted) != len(given):
            return None
        for pattern, segment in zip(wanted, given, strict=True):
            if pattern == "{id}" and segment:
                identifier = unquote(segment)
            elif pattern != segment:
                return None
        return identifier
