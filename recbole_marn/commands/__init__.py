"""One file per job of the command line: its arguments, and what it prints."""
