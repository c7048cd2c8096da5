"""The shared test harness: the examples never import it."""
