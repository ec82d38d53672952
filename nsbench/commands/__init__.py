"""The groups of commands: parse, call, print."""
