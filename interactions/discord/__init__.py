"""Discord's interactions over HTTP: verified, decoded, routed, answered."""
