"""verify of vengeance."""
