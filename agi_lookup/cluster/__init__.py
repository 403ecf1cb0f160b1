"""Several instances as one: a number is bought once, limits hold for all. Only `options` and `claimed` need no redis-py."""
