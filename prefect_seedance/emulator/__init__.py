"""A pretend Runpod for rehearsals and tests: jobs, faults, clips and a bill. Nothing of the product imports it."""
