"""What tests of the outbox need: a shard whose answers are owed, and one job with all that may happen to it."""
