"""``make api-check``: the running API against its document, by schemathesis with all its checks."""
