"""Paying once: the append-only history of every key. The rules are in PROTOCOL.md, the table of them in rules.py.

No HTTP and no Prefect: what an answer of the API means for money is handed in as a step.
"""
