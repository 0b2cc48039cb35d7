"""What the API offers, a module for each resource; each is found by itself, by its :data:`OPERATIONS`."""
