"""The wire: WinRM to a Windows machine, shells and long-lived agents there, files; knows nothing of pyinfra."""
