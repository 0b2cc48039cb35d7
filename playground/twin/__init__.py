"""The twin of Discord: what Tonearm is played against when no Discord is near.

It speaks REST v10, the gateway v10 and signed interactions, and keeps to the limits Discord documents. It never helps:
what Discord would refuse, the twin refuses. ``README.md`` says what it does not model. Tests and the demo talk to it
through :mod:`playground.twin.actors`; ``python -m playground.twin`` starts it.
"""
