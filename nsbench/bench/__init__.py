"""Speed beside a reference or a limit: both sides in one run, on the user's own machine."""
