"""Whose request it is: the key in its headers, the backend of that key, and Azure's paths.

In comes a request; out go its key (`authenticate`), the backend of the key (`Tenants`,
`SharedBackend`), and the API's path for a path of Azure (`api_path`).
"""

from batchsim.wire.access.auth import authenticate
from batchsim.wire.access.azure_paths import ApiPath, api_path, is_azure
from batchsim.wire.access.tenants import SharedBackend, Tenants, key_digest

__all__ = [
    "ApiPath",
    "SharedBackend",
    "Tenants",
    "api_path",
    "authenticate",
    "is_azure",
    "key_digest",
]
