"""The control API: how tests and the demo move the twin's world. JSON over HTTP, for this machine only."""
