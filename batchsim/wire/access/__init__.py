"""Whose request it is: the key in its headers, the backend of that key, and Azure's paths.

In comes a request; out go its key (`authenticate`), the backend of the key (`Tenants`,
`SharedBackend`), and the API's path for a path of Azure (`api_path`).
"""

from batchsim.wire.access.auth import authenticate as authenticate
from batchsim.wire.access.azure_paths import ApiPath as ApiPath
from batchsim.wire.access.azure_paths import api_path as api_path
from batchsim.wire.access.azure_paths import is_azure as is_azure
from batchsim.wire.access.tenants import SharedBackend as SharedBackend
from batchsim.wire.access.tenants import Tenants as Tenants
from batchsim.wire.access.tenants import key_digest as key_digest
