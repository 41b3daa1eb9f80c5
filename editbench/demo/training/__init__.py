"""How the demo's pairs and weights were made."""
