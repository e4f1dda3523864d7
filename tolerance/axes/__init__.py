"""What a comparison may hold constant: one table of axes."""
