"""Delivery status notifications (RFC 3464): composed and understood."""
