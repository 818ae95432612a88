"""Who stands for whom: addresses, sealed aliases, and the rewriting that keeps real addresses in.

Everything here is pure: no clock, no network, no SQL, no files.
"""
