"""FACE batchsim/responders/endpoints."""
