"""What tests of the API need: an API in this process, and callers with keys."""
