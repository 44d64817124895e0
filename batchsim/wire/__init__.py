"""The REST surface of the Batch API: a Request in, a Response out, with no socket and no framework.

`App(backend).handle(request)` is all of it; `App(Tenants(make))` gives each key its own backend. Servers, transports and mocks are doors to it.
"""

from batchsim.wire.access.tenants import Tenants
from batchsim.wire.app import App
from batchsim.wire.http.message import Request, Response
from batchsim.wire.http.render import Profile

__all__ = ["App", "Profile", "Request", "Response", "Tenants"]
