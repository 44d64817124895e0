"""The REST surface of the Batch API, without a socket and without a framework.

In comes a Request, out goes a Response: `App(backend).handle(request)` is all of it.
`App(Tenants(make))` gives each API key a backend of its own. Servers and transports use this.
"""

from batchsim.wire.access import Tenants
from batchsim.wire.app import App
from batchsim.wire.http import Profile, Request, Response

__all__ = ["App", "Profile", "Request", "Response", "Tenants"]
