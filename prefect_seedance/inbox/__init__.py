"""What people drop into a store: found, leased by one run, rendered, archived with a report."""
