"""OpenAIBackend: the Batch API of OpenAI, or of a service like it, through the openai SDK.

The SDK stops in this package and is imported only when an OpenAIBackend is made.
"""

from batchsim.backends.openai.adapter import OpenAIBackend

__all__ = ["OpenAIBackend"]
