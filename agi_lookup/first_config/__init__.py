"""A first config: what has to be asked, the commented YAML that the answers make, and its file. No secret is ever in it."""
