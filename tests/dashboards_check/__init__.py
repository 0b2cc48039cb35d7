"""``make dashboards-check``: every panel is in order, and its queries return data from a Tonearm that is in use."""
