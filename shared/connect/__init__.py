"""A local stand-in for a Posit Connect server, to which the rsconnect client deploys.

What it is: a loopback server that answers what `rsconnect` asks when it deploys a Python API,
builds each bundle's environment from its requirements alone, runs the app in a process of its
own, and serves it below `/content/<guid>/` with the visitor's credentials, as Connect does.

What it is not: Connect. There is no sandbox, so deploy only code that you would run yourself;
content is public, and whoever is on this machine can sign in, read logs and reach an app's port;
error codes other than 30 (invalid key) are invented, what is not implemented answers 501; the
apps' WSGI server is waitress, one process each, and not Connect's; nothing outlives a restart.
"""
