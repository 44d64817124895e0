"""The Python interface: `batchsim.run`, `batchsim.Request`, `batchsim.Results`.

In go request lines, or a path, and a Backend. The runner does the work and keeps the job on disk.
Out come Results: one Result per line in input order, with texts, parsed pydantic models and costs.
Nothing is re-exported here, because importing Request must not import the runner: take the names
from `batchsim`.
"""
