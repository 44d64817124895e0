"""FakeBackend: the Batch API simulated in the process."""

from batchsim.backends.fake.backend import FakeBackend as FakeBackend
from batchsim.backends.fake.behaviour.faults import BatchFault as BatchFault
from batchsim.backends.fake.behaviour.faults import Faults as Faults
from batchsim.backends.fake.behaviour.line_faults import LineFault as LineFault
from batchsim.backends.fake.behaviour.pacing import PACINGS as PACINGS
from batchsim.backends.fake.behaviour.pacing import Pacing as Pacing
from batchsim.backends.fake.behaviour.request_faults import RequestFault as RequestFault
from batchsim.backends.fake.behaviour.scenarios import SCENARIOS as SCENARIOS
from batchsim.backends.fake.behaviour.scenarios import Scenario as Scenario
