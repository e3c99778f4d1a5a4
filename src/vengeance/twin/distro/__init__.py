"""distro of vengeance."""
