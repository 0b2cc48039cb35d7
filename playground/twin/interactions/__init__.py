"""Interactions: built as Discord builds them, signed, sent, and their answers judged and shown.

From the Discord documentation, "Receiving and Responding".
"""
