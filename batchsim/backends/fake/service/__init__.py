"""The simulated service: the Batch API as methods of Simulator, without faults of requests.

In come Settings, a Store and a Clock. Out come files and batches as a client sees them. Everything
that has become due is applied whenever a method is called (see timeline and transitions).
"""

from batchsim.backends.fake.service.simulator import Simulator as Simulator
