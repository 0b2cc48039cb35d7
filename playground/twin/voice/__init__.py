"""The twin's voice server: a voice gateway, a UDP receiver, and listeners that hear what a bot sends."""
