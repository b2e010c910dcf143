"""From what somebody wrote to checked shots, or to every problem with its line. No ledger, no API, no Prefect."""
