"""The DNS zone that a relay needs: what to publish (plan, records), and whether it is there (verify)."""
