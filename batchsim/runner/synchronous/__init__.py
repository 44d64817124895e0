"""FACE batchsim/runner/synchronous."""
