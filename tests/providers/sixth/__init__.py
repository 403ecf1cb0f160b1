"""A sixth vendor: all that a new one takes is `acme.py`, the files in `recorded` and `block.yaml`."""
