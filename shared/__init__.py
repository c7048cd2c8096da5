"""The harness of the examples, which never import it."""
