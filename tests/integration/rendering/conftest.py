"""An emulator whose jobs end at once, and for each test a store, a client and a prompt of its own."""

from tests.support.one_clip import client, emulator, prompt, shared_emulator, store

__all__ = ["client", "emulator", "prompt", "shared_emulator", "store"]
