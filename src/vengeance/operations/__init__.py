"""What brings a host into its declared state; each reads facts, compares, and changes only what differs."""
