"""Examples that run as they are, each in one file."""
