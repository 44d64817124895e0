"""FakeBackend: the Batch API simulated in the process.

In come the calls of a client and the options of the user: a seed, a clock, a pacing, faults, a
responder, a store. Out come the files, batches and errors that the real service would give, and a
history of the client's requests. A request passes fault_injection, then service, which runs batches
with execution and keeps them in store.
"""

from batchsim.backends.fake.backend import FakeBackend as FakeBackend
from batchsim.backends.fake.behaviour import NO_FAULTS as NO_FAULTS
from batchsim.backends.fake.behaviour import PACINGS as PACINGS
from batchsim.backends.fake.behaviour import SCENARIOS as SCENARIOS
from batchsim.backends.fake.behaviour import BatchFault as BatchFault
from batchsim.backends.fake.behaviour import Faults as Faults
from batchsim.backends.fake.behaviour import LineFault as LineFault
from batchsim.backends.fake.behaviour import Pacing as Pacing
from batchsim.backends.fake.behaviour import RequestFault as RequestFault
from batchsim.backends.fake.behaviour import Scenario as Scenario
from batchsim.backends.fake.behaviour import pacing_of as pacing_of
from batchsim.backends.fake.behaviour import scenario_of as scenario_of
