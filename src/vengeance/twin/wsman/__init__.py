"""The twin's WinRM service: HTTP, sign-in, sealed bodies and the shell protocol of Windows."""
