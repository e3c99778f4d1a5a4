"""operations of vengeance."""
