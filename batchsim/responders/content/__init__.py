"""FACE batchsim/responders/content."""
