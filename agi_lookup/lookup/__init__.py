"""From a question to what is known: cache, single flight, chain of sources, lifetimes."""
