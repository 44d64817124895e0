"""FACE batchsim/cli/options."""
