"""Commands: each parses its options, calls one stage, and prints the result."""
