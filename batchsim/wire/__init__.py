"""The REST surface of the Batch API: a Request in, a Response out, with no socket and no framework.

`App(backend).handle(request)` is all of it; `App(Tenants(make))` gives each key its own backend. Servers, transports and mocks are doors to it.
"""

from batchsim.wire.app import App
from batchsim.wire.message import Request, Response
from batchsim.wire.render import Profile
from batchsim.wire.tenants import Tenants

__all__ = ["App", "Profile", "Request", "Response", "Tenants"]
