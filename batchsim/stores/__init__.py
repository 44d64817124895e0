"""Where the fake's files and batches rest. Stores keep; they never decide."""
