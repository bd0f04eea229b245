"""What the ground does: filters, triggers, intensity, waveform and SeedLink formats. Pure: no I/O, no event loop."""
