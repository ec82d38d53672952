"""Published results as data, and where one of ours stands beside them. Without torch."""
