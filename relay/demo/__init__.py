"""The demo, and the small servers that stand for the outside world in it and in the tests."""
