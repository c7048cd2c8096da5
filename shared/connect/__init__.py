"""A local Connect: a server on this machine to which publishers deploy Python APIs.

It is not Posit Connect. To deploy is to run code as you, without a sandbox; signing in needs no
password; nothing survives a restart. Requests for what it does not have get a 501.

A request: `listener.py` reads it, within the limits of `limits.py`, and starts a thread for it.
`proxy.py` looks whose URL it is. At a content, it asks `store.py` whether the visitor may see it,
takes a free process from the content's pool (`running/apps.py`), and passes the request on through
a Unix socket to `running/runner.py`, which calls the app. All else is Flask's: `api/` and `pages.py`.
An HTTPException, or any other exception, becomes an answer in `listener.guarded` or in Flask.

A bundle: `api/bundles.py` hands an upload to `store.py`; `bundles.py` keeps it, `archives.py` unpacks
it, and `manifest.py` reads its manifest. A deployment is a thread of `store.py`: it builds the
virtual environment with uv (`running/environments.py`), makes the pool of processes, and shows the
bundle to visitors. The first request starts a process. `running/children.py` starts all programs
behind `running/guard.py`, so that none outlives the server.
"""
