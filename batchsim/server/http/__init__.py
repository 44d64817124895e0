"""An HTTP/1.x server on asyncio and httptools.

In come sockets that listen and a `Handler`; out go its answers. `HttpServer` starts and stops,
`connection` parses and keeps the time limits, `request_guard` checks heads, `request_threads` does
the work, `body_handover` and `encoding` carry bodies and answers.
`ServerLimits` bounds what clients may ask for. `http_server` needs httptools: import it late.
"""

from batchsim.server.http.request_guard import CONTROL_PATH, Guard
from batchsim.server.http.request_threads import Handler
from batchsim.server.http.server_limits import ServerLimits

__all__ = ["CONTROL_PATH", "Guard", "Handler", "ServerLimits"]
