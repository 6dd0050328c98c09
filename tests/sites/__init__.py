"""Variations of the site that only tests run: other settings and other ASGI applications, started as real servers."""
