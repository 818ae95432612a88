"""Mail that arrives: the SMTP server."""
