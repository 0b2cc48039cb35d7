"""The adapter to Redis: the connection, the names of the keys, and each atomic step as one script on one slot."""
