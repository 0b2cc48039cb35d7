"""What tests of the audio node need: the node as a process, a client, a voice server that listens, and tones."""
