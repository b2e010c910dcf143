"""Prefect, which no package below knows: blocks, tasks, approval, artifacts.

It shows what the core does and decides nothing.
"""
