"""What pyinfra calls: `@winrm` and `@wsl`, thin over the wire; arguments go in, and CommandOutput comes out."""
