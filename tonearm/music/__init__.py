"""The music itself, pure: tracks, the player's state, what each action does to it. No I/O, no clock of its own.

Every function that needs the time is given it, in milliseconds of Redis' clock.
"""
