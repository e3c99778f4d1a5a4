"""facts of vengeance."""
