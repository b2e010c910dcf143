"""Prefect, and nothing below knows it: blocks, tasks, approval, artifacts.

It shows what the core does and decides nothing.
"""
