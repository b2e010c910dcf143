"""The story of a board: its plan, and the one loop that renders it. No Prefect."""
