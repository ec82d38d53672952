"""The ground that everything stands on, none of which knows about benchmarks."""
