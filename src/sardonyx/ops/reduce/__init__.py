"""Many elements into one, along axes."""
