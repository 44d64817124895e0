"""FACE batchsim/responders/chat."""
