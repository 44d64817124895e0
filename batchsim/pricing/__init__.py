"""Tokens and money: what requests and answers take, and what that costs.

In go request lines, usage and names of models. Out come counted or estimated tokens, upper bounds
for both directions, and US dollars at batch or ordinary prices. Nothing is fetched: prices and
vocabularies come with installed packages.
"""

from batchsim.pricing.bounds import most_output_tokens, most_prompt_tokens
from batchsim.pricing.cost_estimate import Cost, Estimate, Estimates
from batchsim.pricing.prices import Price, cost, price
from batchsim.pricing.token_counter import counter_for
from batchsim.pricing.token_estimate import estimate_prompt_tokens, estimate_tokens

__all__ = [
    "Cost",
    "Estimate",
    "Estimates",
    "Price",
    "cost",
    "counter_for",
    "estimate_prompt_tokens",
    "estimate_tokens",
    "most_output_tokens",
    "most_prompt_tokens",
    "price",
]
