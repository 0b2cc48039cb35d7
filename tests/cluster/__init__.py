"""`make cluster`: the system on a real Kubernetes with Knative, driven and broken as its users will.

The twin and the audio node are pods in place of Discord and of Lavalink's image; the rest is what `k8s/` and
`infra/Dockerfile` say.
"""
