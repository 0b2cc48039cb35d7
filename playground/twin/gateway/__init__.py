"""The gateway v10: sockets, sessions and what is dispatched to them (Discord documentation, "Gateway")."""
