"""Clients of the openai SDK that talk to a simulated backend.

They are made by `batchsim.testing.transport`, a door above every backend. This one import points
up. It happens only when a client is asked for, and is named in the import contracts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from batchsim.backends import Backend

if TYPE_CHECKING:
    import openai


class Clients(Backend):
    """A Backend in the process, with clients of the openai SDK that talk to it."""

    def openai_client(self, **options: Any) -> openai.OpenAI:
        """Return an `openai.OpenAI` that talks to this backend; `options` go to the client.

        The client retries by itself; `max_retries=0` turns that off.
        """
        from batchsim.testing.transport import openai_client

        return openai_client(self, **options)

    def async_openai_client(self, **options: Any) -> openai.AsyncOpenAI:
        """Return an `openai.AsyncOpenAI` that talks to this backend; `options` go to the client."""
        from batchsim.testing.transport import async_openai_client

        return async_openai_client(self, **options)
