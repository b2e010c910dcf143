"""Which endpoints exist, what they take and what they cost: rows of data and the arithmetic on them.

Nothing here asks the API, reads a ledger or knows Prefect.
"""
