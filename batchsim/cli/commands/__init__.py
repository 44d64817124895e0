"""The commands: one module for each, named after it.

A module is imported when its command is called. It checks the arguments, calls the library and
shows the outcome; what several commands share is in the other rooms.
"""
