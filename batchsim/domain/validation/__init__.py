"""Validation of input files, as the service does it and as a job needs it.

In go blocks of lines (batchsim.jsonl). Out come the valid lines (RequestLines) and the errors that
the API would report (InvalidLine), in its own words. Then there is help for people: the cause of
an error, the column and the remedy, and advice on input that the API accepts.
"""
