"""Code that mirrors other people's models, and where their weights are found."""
