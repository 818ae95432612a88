"""What is due goes out: back-off (pure) and the runner."""
