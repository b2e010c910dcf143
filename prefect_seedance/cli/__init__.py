"""The command line. Prefect is imported only inside the commands that need it."""
