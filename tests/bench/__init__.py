"""Figures. ``python -m tests.bench [--only PART]`` prints them and writes them to build/bench.json."""
