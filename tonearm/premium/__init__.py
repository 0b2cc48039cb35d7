"""What a guild may do, pure: plans, grants, and the states that a subscription goes through. No I/O, no own clock.

Every function that needs the time is given it, as a datetime with its zone.
"""
