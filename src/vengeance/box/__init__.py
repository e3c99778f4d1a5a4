"""What the box is made of and by which rules, as pure functions: nothing here reads, writes or connects."""
