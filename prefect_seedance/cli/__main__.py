"""`python -m prefect_seedance.cli`."""

from prefect_seedance.cli.app import main

main()
