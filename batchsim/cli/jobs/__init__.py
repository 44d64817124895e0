"""FACE batchsim/cli/jobs."""
