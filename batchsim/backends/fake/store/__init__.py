"""FACE batchsim/backends/fake/store."""
