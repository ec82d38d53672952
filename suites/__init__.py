"""The shipped suites, a TOML file each, and their references; `nsbench/suites` reads them."""
