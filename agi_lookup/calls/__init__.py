"""Calls that were: a bounded log of what was decided and how it went, and their replay through other rates and rules."""
