"""wsman of vengeance."""
