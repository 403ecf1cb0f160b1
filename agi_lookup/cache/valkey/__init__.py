"""The shared tier: what one instance learns, the others know. Only `options` may be imported without redis-py."""
