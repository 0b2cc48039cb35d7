"""The adapter to PostgreSQL: the pool, the migrations, and what is kept for good."""
