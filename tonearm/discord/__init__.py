"""The adapter to Discord's REST API, and how things look there."""
