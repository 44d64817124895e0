"""What the Batch API is: frozen values and pure rules, with no I/O, clock or randomness."""
