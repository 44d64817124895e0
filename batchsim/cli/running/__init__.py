"""Running a job for `run` and `adopt`.

In: a backend, and a function that begins or continues the job. Out: an exit code. Meanwhile the job
is displayed and registered, its counts are written for other commands, and signals stop it safely.
"""
