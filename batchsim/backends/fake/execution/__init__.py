"""Running a batch: an input file -> validation errors, or the output and the error file.

In come the record of a batch, the Settings and the contents of the store. Out come the next event
of the batch and its time, the outcome of its validation, how far its lines have run at a time, and
the files with its results. Nothing here knows what time it is, or changes a record.
"""

from batchsim.backends.fake.execution.check_input import open_input as open_input
from batchsim.backends.fake.execution.executions import Executions as Executions
from batchsim.backends.fake.execution.executions import ResultFiles as ResultFiles
from batchsim.backends.fake.execution.next_event import next_event as next_event
from batchsim.backends.fake.execution.settings import CurrentSettings as CurrentSettings
from batchsim.backends.fake.execution.settings import Settings as Settings
from batchsim.backends.fake.execution.settings import check_faults as check_faults
from batchsim.backends.fake.execution.settings import check_own_scenario as check_own_scenario
from batchsim.backends.fake.execution.settings import own_scenario as own_scenario
from batchsim.backends.fake.execution.validation import Accepted as Accepted
from batchsim.backends.fake.execution.validation import Inspection as Inspection
from batchsim.backends.fake.execution.validation import Rejected as Rejected
from batchsim.backends.fake.execution.validation import Validation as Validation
