"""What to train: what a recipe can say, and the shipped recipes, one TOML file each."""
