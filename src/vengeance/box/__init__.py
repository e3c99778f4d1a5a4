"""box of vengeance."""
