"""FACE batchsim/wire/access."""
