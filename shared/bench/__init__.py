"""What each example costs, beside plain Flask, raw WSGI and the guide's own code."""
