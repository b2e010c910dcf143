"""What people drop into a store: found, taken by one run, rendered, put away with a report."""
