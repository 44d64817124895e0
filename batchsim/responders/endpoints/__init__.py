"""Answers of every endpoint but chat completions, one module each.

Each module has `respond`, which answers a request line, and `with_text`, which makes a well-formed
answer of a given text. Both take the request and its Occasion and return an Answer.
"""
