"""The API (docs/api.md), on the daemon's own loop."""
