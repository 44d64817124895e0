"""The runner: an input of requests in, one result per line in input order out, on any Backend.

`run` opens a job and its journal and carries it to its results; batchsim.runner.adoption takes
over batches that others made. A job can be killed at any moment: the same call continues it. The
rooms, from the bottom: journal, job, results, planning, schedule, effects and progress,
synchronous, engine.
"""
