"""Measures the speed and the memory of batchsim on this machine, each figure beside its floor.

In: rows (`suite`), each a figure that is made of what some programs cost. Out: a table in Markdown
or JSON (`record`), with the median and the range of several rounds.
A figure in seconds tells more of the machine than of the code. So every program that is measured
stands beside a floor, measured in the same round: one orjson pass over the same file, a copy of it,
the official client on fixed answers, a server that does nothing. Each runs in a process of its own.
"""
