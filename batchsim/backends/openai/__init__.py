"""OpenAIBackend: the Batch API of OpenAI, or of a service like it, through the openai SDK.

In go the calls of a Backend, with a key and an address. Out come batches, files and content, or
one of batchsim's errors, which says what the caller may do next. Each call is one request, and is
never repeated here. PROVIDERS lists the known services and how their requests differ. The SDK is
imported only when an OpenAIBackend is made.
"""

from batchsim.backends.openai.adapter import OpenAIBackend
from batchsim.backends.openai.providers import PROVIDERS, Provider, provider_of

__all__ = ["PROVIDERS", "OpenAIBackend", "Provider", "provider_of"]
