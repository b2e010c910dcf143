"""Everything that needs PyAV: look into a clip, take its last frame, draw its poster, join a film.

Decoding a stranger's file happens in processes of its own. No store, no ledger and no HTTP in here.
"""
