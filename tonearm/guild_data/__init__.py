"""What is kept of a guild, as a file that can be taken away and brought back."""
