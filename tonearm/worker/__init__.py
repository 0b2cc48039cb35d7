"""The worker: what needs only the database, and what has a clock or no caller."""
