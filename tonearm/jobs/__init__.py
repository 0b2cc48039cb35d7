"""The messages between the HTTP side and the voice nodes."""
