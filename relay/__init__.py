"""The I/O shell around aliasing and policy: sockets, ledger, queue, DNS, command line."""
