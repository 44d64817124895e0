"""Tokens and money: what requests and answers take, and what that costs.

In go request lines, usage and names of models. Out come counted or estimated tokens, upper bounds
for both directions, and US dollars at batch or ordinary prices. Nothing is fetched: prices and
vocabularies come with installed packages.
"""
