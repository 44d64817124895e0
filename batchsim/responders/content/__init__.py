"""The content of simulated answers, whatever the endpoint.

In come a prompt, a JSON schema or a line's entropy. Out come a text and its tokens, the smallest
instance of the schema, or the letters of an id.
"""

from batchsim.responders.content.answer_form import call_arguments as call_arguments
from batchsim.responders.content.answer_form import forced_function as forced_function
from batchsim.responders.content.answer_form import formatted_text as formatted_text
from batchsim.responders.content.random_parts import base62 as base62
from batchsim.responders.content.random_parts import stretch as stretch
from batchsim.responders.content.replies import SMALLEST_CACHED as SMALLEST_CACHED
from batchsim.responders.content.replies import Reply as Reply
from batchsim.responders.content.replies import cached_tokens as cached_tokens
from batchsim.responders.content.replies import echo as echo
from batchsim.responders.content.replies import last_text as last_text
from batchsim.responders.content.replies import reasoning_tokens as reasoning_tokens
from batchsim.responders.content.replies import reply as reply
