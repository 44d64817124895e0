"""The behaviour of the simulated service as values: pacing, faults and scenarios.

In come arguments of the user, names, and fault plans as TOML files or JSON objects, all checked at
once. Out come frozen values which say how long each phase takes, and whether a fault hits a
request, a line or a batch. Chance is drawn by key (see ids), so these values have no state.
"""

from batchsim.backends.fake.behaviour.fault_files import PlanError as PlanError
from batchsim.backends.fake.behaviour.fault_files import plan_object as plan_object
from batchsim.backends.fake.behaviour.fault_files import plan_of as plan_of
from batchsim.backends.fake.behaviour.fault_files import read_plan as read_plan
from batchsim.backends.fake.behaviour.faults import NO_FAULTS as NO_FAULTS
from batchsim.backends.fake.behaviour.faults import BatchFault as BatchFault
from batchsim.backends.fake.behaviour.faults import Faults as Faults
from batchsim.backends.fake.behaviour.line_faults import LINE_FAULTS as LINE_FAULTS
from batchsim.backends.fake.behaviour.line_faults import LineFault as LineFault
from batchsim.backends.fake.behaviour.pacing import PACINGS as PACINGS
from batchsim.backends.fake.behaviour.pacing import Pacing as Pacing
from batchsim.backends.fake.behaviour.pacing import pacing_of as pacing_of
from batchsim.backends.fake.behaviour.request_faults import REQUEST_FAULTS as REQUEST_FAULTS
from batchsim.backends.fake.behaviour.request_faults import RequestFault as RequestFault
from batchsim.backends.fake.behaviour.scenarios import SCENARIOS as SCENARIOS
from batchsim.backends.fake.behaviour.scenarios import Scenario as Scenario
from batchsim.backends.fake.behaviour.scenarios import scenario_of as scenario_of
