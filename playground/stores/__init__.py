"""The stores of the playground: real servers from wheels, each tied to the life of its parent."""
