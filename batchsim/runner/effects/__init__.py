"""The effects: do what was decided, at the service and in the job directory.

A JobContext and an action go in, journal entries come out. Each effect is a generator that yields
an intent before it sends the request, and goes on once the intent is on the disk.
"""
