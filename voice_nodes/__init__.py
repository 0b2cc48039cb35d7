"""The audio side: owns gateway shards, drives Lavalink, and is the single writer of a guild's player."""
