"""Jobs as the commands find them: by a name, in a registry, from their directory and journal.

In: the name of a job (`find`). Out: a Job, its directory; a Follower, which reads its journal while
another process may write it; and a JobView, all there is to show of it. `remote_leftovers` lists
files that jobs left at a service.
"""
