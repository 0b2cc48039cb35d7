"""The REST API, and what Discord and Stripe send."""
