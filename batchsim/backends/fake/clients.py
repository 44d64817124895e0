"""The official clients of a simulated backend, for those who hold the backend and want a client.

They are made by `batchsim.testing.transport`, a door above every backend: this one import points
up, happens only when a client is asked for, and is named in the import contracts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from batchsim.backends import Backend

if TYPE_CHECKING:
    import openai


class Clients(Backend):
    """What a Backend gains that is in the process: clients of the openai SDK that talk to it."""

    def openai_client(self, **options: Any) -> openai.OpenAI:
        """An `openai.OpenAI` that talks to this backend; `options` go to the client.

        Its retries, for one, are on unless `max_retries=0` is among them.
        """
        from batchsim.testing.transport import openai_client

        return openai_client(self, **options)

    def async_openai_client(self, **options: Any) -> openai.AsyncOpenAI:
        """An `openai.AsyncOpenAI` that talks to this backend; `options` go to the client."""
        from batchsim.testing.transport import async_openai_client

        return async_openai_client(self, **options)
