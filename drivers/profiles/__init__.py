"""Device profiles: data files, one per instrument."""
