"""FACE batchsim/backends/fake/behaviour."""
