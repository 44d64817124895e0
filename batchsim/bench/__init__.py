"""How fast, in how much memory: measured on the user's own machine, against what nobody can beat.

Theory of operation. A second says little about a program and much about a machine, so each figure
stands beside its floor, measured in the same run: a bare `orjson.loads` pass over the same file, a
copy of it, the official client on answers that are fixed, a server that does nothing. Both are
programs (`programs`), each run in a process of its own (`measure`), one after the other, several
times over; a row (`rows`) says which figure to make of the costs of which programs, and what it
should be. Of each row the table shows the median and the range.
"""
