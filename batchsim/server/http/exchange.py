"""A request on a connection, from its head to the end of its answer."""

from batchsim.errors import Refused
from batchsim.server.http.body_handover import RequestBody
from batchsim.server.http.encoding import Encoded
from batchsim.server.http.request_guard import Head
from batchsim.wire import Request


class Exchange:
    def __init__(self, head: Head, body: RequestBody, *, keep_alive: bool) -> None:
        self.head = head
        self.body = body
        self.keep_alive = keep_alive
        self.refusal: Refused | None = None  # why the request is not let in
        self.is_told = False
        self.is_started = False
        self.is_answering = False
        self.waiting: Encoded | None = None
        """The answer, while the client still sends a body that nobody wants."""
        self.expects_continue = (head.first("expect") or "").lower() == "100-continue"
        """The client may send its body only when it is told to."""

    @property
    def request(self) -> Request:
        path, _, query = self.head.target.partition("?")
        method = "GET" if self.head.method == "HEAD" else self.head.method
        return Request(method, path, query, self.head.headers, self.body)
