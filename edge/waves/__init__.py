"""What a gateway keeps of the samples of its stations: a ring of days on disk."""
