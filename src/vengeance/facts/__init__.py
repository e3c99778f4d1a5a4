"""What a host is now, read through its connector; nothing here changes anything."""
