"""winrm of vengeance."""
