"""twin of vengeance."""
