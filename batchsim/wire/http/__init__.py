"""Messages of the API: requests are read, responses are made.

`parse` reads JSON bodies and queries, `form` multipart forms, `ranges` Range headers. `render`
makes responses from values, `problem` from errors. In comes a Request, out goes a Response.
`form` needs the package multipart, so it is imported only where forms are read.
"""

from batchsim.wire.http import parse, problem, ranges, render
from batchsim.wire.http.message import CutBody, Headers, Request, Response
from batchsim.wire.http.render import Profile

__all__ = [
    "CutBody",
    "Headers",
    "Profile",
    "Request",
    "Response",
    "parse",
    "problem",
    "ranges",
    "render",
]
