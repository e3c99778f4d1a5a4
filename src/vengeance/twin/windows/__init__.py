"""windows of vengeance."""
