"""Mail that leaves: where to, and one attempt at a time."""
