"""Is this machine ready? Each check looks at one thing, changes nothing and pays for nothing."""
