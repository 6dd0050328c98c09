"""A product with all of its own: Channels routes, channel layer, middleware, hosts, user model, script name."""
