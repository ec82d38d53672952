"""The shipped suites, one TOML file each, and their references."""
