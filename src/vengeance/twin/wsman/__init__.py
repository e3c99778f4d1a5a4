"""The twin's WinRM service: HTTP, authentication, sealed bodies and the WS-Management shell protocol of Windows."""
