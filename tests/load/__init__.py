"""Load on a process alone, and what it costs."""
