"""FACE batchsim/domain/validation."""
