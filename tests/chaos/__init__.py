"""Faults made on purpose, in real processes, and what became of the promises meanwhile.

``python -m tests.chaos`` runs every part, ``--part jobs`` only that one:
``handover``, ``failover``, ``sentences``, ``jobs``.
"""
