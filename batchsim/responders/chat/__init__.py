"""Answers of /v1/chat/completions.

In comes a request line with its occasion, or neighbouring lines of a batch. Out comes an answer in
the API's shape: a text, a forced call of a function, a text in the form asked for, or a refusal.
"""

from batchsim.responders.chat.answers import respond as respond
from batchsim.responders.chat.answers import respond_many as respond_many
from batchsim.responders.chat.answers import with_text as with_text
