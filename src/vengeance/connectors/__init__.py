"""connectors of vengeance."""
