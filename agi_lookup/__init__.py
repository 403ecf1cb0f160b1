"""agi_lookup: a FastAGI server that looks up every dialled number in time, or gets out of the way."""

__version__ = "0.1.0"
