"""The door for Python programs: lines are built, a job is run, its results are read."""
