"""The records of files and batches, and the contents of files.

In comes a Store (batchsim.stores), which keeps plain values and bytes. Out come typed records by
id, with the facts that the API does not show, and the contents of removed files for a verdict.
"""

from batchsim.backends.fake.store.records import BatchRecord as BatchRecord
from batchsim.backends.fake.store.records import FileRecord as FileRecord
from batchsim.backends.fake.store.records import Records as Records
from batchsim.backends.fake.store.removed_contents import KeptContents as KeptContents
