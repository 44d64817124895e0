"""Messages of the API: requests are read, responses are made.

`parse` reads JSON bodies and queries, `form` multipart forms, `ranges` Range headers. `render`
makes responses from values, `problem` from errors. In comes a Request, out goes a Response.
`form` needs the package multipart, so it is imported only where forms are read.
"""

from batchsim.wire.http import parse as parse
from batchsim.wire.http import problem as problem
from batchsim.wire.http import ranges as ranges
from batchsim.wire.http import render as render
from batchsim.wire.http.message import CutBody as CutBody
from batchsim.wire.http.message import Headers as Headers
from batchsim.wire.http.message import Request as Request
from batchsim.wire.http.message import Response as Response
from batchsim.wire.http.render import Profile as Profile
