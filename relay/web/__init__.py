"""The API (docs/api.md) and the messages page (page/), on the daemon's own loop."""
