"""A pretend Runpod for rehearsals and tests: jobs, faults, clips and a bill. Only the command line imports it."""
