"""Property tests: the same few examples in each run, and no deadline on a machine that is busy."""

from hypothesis import settings

settings.register_profile("drivers", deadline=None, derandomize=True, max_examples=60, database=None)
settings.load_profile("drivers")
