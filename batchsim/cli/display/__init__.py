"""FACE batchsim/cli/display."""
