"""What to measure: one file a kind of suite. `/suites` holds the shipped ones, as TOML files."""
