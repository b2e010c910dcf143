"""What may be spent: limits, the histories of the months, what one run may take of them, and the report.

No HTTP, no clips and no Prefect.
"""
