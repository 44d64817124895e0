"""The process and its streams: files, standard input, tables, exit codes, signals.

In: errors, values and text of any command. Out: output that a terminal and other programs can read,
and an exit code that says what happened.
"""
