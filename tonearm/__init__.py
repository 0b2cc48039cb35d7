"""What both sides of Tonearm mean and stand on. Imports neither of them."""

__version__ = "0.1.0"
