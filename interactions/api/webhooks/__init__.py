"""What others send: kept before it is acknowledged, and acted on later by the worker."""
