"""A local Connect: a server on this machine to which publishers deploy Python APIs.

It answers what the clients ask, builds each bundle's environment with uv, runs each content in
processes of its own, and serves it below `/content/<guid>/` and a vanity path as Posit Connect does.

It is not Posit Connect. To deploy is to run code as you, without a sandbox; signing in needs no
password; nothing survives a restart. Requests for anything else get a 501.
"""
