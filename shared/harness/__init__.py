"""How the examples are served and tested."""
