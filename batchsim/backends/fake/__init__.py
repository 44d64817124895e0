"""FakeBackend: the Batch API simulated in the process."""

from batchsim.backends.fake.faults import Faults as Faults
from batchsim.backends.fake.pacing import PACINGS as PACINGS
from batchsim.backends.fake.pacing import Pacing as Pacing
from batchsim.backends.fake.simulator import FakeBackend as FakeBackend
