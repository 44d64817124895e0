"""The engine: decide, perform and record until the results are written.

A journal and a JobContext go in; the Loop writes the journal, and its workers carry out uploads
and downloads side by side.
"""

from batchsim.runner.engine.loop import Loop

__all__ = ["Loop"]
