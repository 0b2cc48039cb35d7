"""Alerts are proven twice: each by promtool, on made-up series; some by real faults, up to the one who is told."""
