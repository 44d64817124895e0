"""The REST surface of a Backend, with no socket and no framework: Request in, Response out."""
