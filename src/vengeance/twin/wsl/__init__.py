"""wsl of vengeance."""
