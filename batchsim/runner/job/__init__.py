"""FACE batchsim/runner/job."""
