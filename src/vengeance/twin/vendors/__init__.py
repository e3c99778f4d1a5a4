"""The vendors' download servers as the twin's Windows sees them: their own URLs, real https, a throw-away authority."""
