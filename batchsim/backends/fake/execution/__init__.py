"""FACE batchsim/backends/fake/execution."""
