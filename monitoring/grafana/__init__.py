"""What is seen of Tonearm: Grafana's dashboards, as code. ``python -m monitoring.grafana`` writes their JSON."""
