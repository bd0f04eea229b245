"""A district in a box: simulated instruments, replayed recordings, a stand-in district platform."""
