"""The request log of a FakeBackend: every request of its client and the outcome of each.

In come the calls of the backend's methods, through the decorators. Out comes a History: the
requests, batches, files and contents as one value, from which batchsim.verdict judges the client.
"""

from batchsim.backends.fake.log.client_history import History as History
from batchsim.backends.fake.log.client_history import history_of as history_of
from batchsim.backends.fake.log.decorators import log_request as log_request
from batchsim.backends.fake.log.decorators import logged as logged
from batchsim.backends.fake.log.decorators import logged_reading as logged_reading
from batchsim.backends.fake.log.decorators import logged_receiving as logged_receiving
from batchsim.backends.fake.log.decorators import taken_whole as taken_whole
from batchsim.backends.fake.log.request_log import RequestLog as RequestLog
