"""Many lookups, one after the other and many at once: what is paid for is kept, whatever ends the run."""
