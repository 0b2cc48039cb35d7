"""The audio node: Lavalink's v4 API over lavaplayer, for playing and testing without a Lavalink server.

It answers the REST and WebSocket API that a Lavalink 4.2.2 answers, runs the same audio engine (lavaplayer 2.2.6)
in a JVM inside this process, and sends real Opus in real encrypted RTP. It has no DAVE, so it can't be used with
Discord itself. `python -m playground.audio_node` starts it; README.md says the rest.
"""
