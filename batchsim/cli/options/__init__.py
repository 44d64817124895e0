"""Options that several commands share, and the values that they become.

In: the arguments of a command. Out: a backend (`backend`), a Policy (`policy`), webhooks, paths of
a job (`job`); and the lists of `batches` and `files` (`listing`). `groups` orders the help.
"""
