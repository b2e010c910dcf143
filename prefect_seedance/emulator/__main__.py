"""`python -m prefect_seedance.emulator`."""

from prefect_seedance.emulator.server import main

main()
