"""Know of each request whether it has left, and with which status it was answered.

The class of an exception does not tell: a TypeError is raised while a body is written as JSON, and
also while an answer in an odd charset is read. The HTTP library calls its hooks just before it
sends
a request and as soon as it has the head of an answer. Both are remembered here, for each thread.
"""

from __future__ import annotations

import threading
from typing import Any


class Departures(threading.local):
    """The fate of this thread's latest request, as far as the HTTP library has told."""

    has_left = True
    """False only when nothing was sent for sure."""
    answer: Any = None
    """The answer to the latest request that has left; its content may not be readable."""

    def expect(self, http_client: Any) -> None:
        """Forget the request before; the next one of this thread goes through `http_client`."""
        self.answer = None
        hooks = getattr(http_client, "event_hooks", None)
        self.has_left = hooks is None
        if hooks is None:
            return
        for name, hook in (("request", _on_request), ("response", _on_answer)):
            if hook not in hooks[name]:
                hooks[name].append(hook)


DEPARTURES = Departures()


def _on_request(_: Any) -> None:
    DEPARTURES.has_left, DEPARTURES.answer = True, None


def _on_answer(response: Any) -> None:
    DEPARTURES.answer = response
