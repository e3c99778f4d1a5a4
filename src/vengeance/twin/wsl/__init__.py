"""The twin's WSL: wsl.exe with its rules of arguments, and the service that starts and stops distros."""
