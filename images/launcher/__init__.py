"""The launcher of the agent: one file, standard library only."""
