"""REST v10: one module for each resource (Discord documentation, "API Reference")."""
