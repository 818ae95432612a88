"""May this message go through? Pure rules over facts; nothing here reads a clock, a network or a file."""
