"""A table that becomes thousands of clips: frozen by content, planned, approved once, rendered in shards.

A shard is an ordinary board run: its rows become one board, so that ledger, limits, retries and cancellation are those
of any render, and no line here touches money. Nothing here knows Prefect but a module named `prefect_…`.
"""
