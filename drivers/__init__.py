"""Talk to instruments: bytes in, samples out. One module per kind of wire, one data file per kind of instrument."""
