"""No request that HTTP allows breaks an example: no 5xx, no exception out of the WSGI app.

Raw bytes in the request line and malformed hosts are for the server in front to refuse.
"""

import json
import re
from urllib.parse import quote

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.test import EnvironBuilder, run_wsgi_app

# Percent-encoded in a path or query; as it is in a header.
LATIN_1 = st.text(st.characters(max_codepoint=255), max_size=20)
HEADER = LATIN_1.map(lambda text: re.sub(r"[\r\n\0]", "", text))
JSON_VALUE = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["user", "x"]), inner),
    max_leaves=5,
).map(lambda value: json.dumps(value, ensure_ascii=False).encode().decode("latin-1"))
MEDIA_TYPE = st.sampled_from(["*/*", "text/html", "application/json", "text/*", "a", "/", ";q=0"])
FORM = "application/x-www-form-urlencoded"
CONTENT_TYPE = st.sampled_from(["application/json", FORM, "multipart/form-data; boundary=x"])
HEADERS = {
    "HTTP_ACCEPT": st.lists(MEDIA_TYPE | HEADER, max_size=3).map(",".join),
    "HTTP_X_FIELDS": st.text("{}*,:langtex ", max_size=12) | HEADER,
    "HTTP_RSTUDIO_CONNECT_CREDENTIALS": JSON_VALUE | HEADER,
    "HTTP_COOKIE": HEADER,
    "HTTP_RANGE": st.sampled_from(["bytes=0-1", "bytes=9-", "bytes=-", "x"]),
    "HTTP_IF_MODIFIED_SINCE": HEADER,
    "CONTENT_TYPE": CONTENT_TYPE | HEADER,
    "QUERY_STRING": LATIN_1.map(quote),
    "SCRIPT_NAME": st.sampled_from(["/content/x", "/é".encode().decode("latin-1")]),
}
METHOD = st.sampled_from(["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "BREW"])
BODY = st.binary(max_size=40) | st.sampled_from(
    [b"_method=PUT", b"_method=BREW", b"_method=\xff", b"_content=x&_content_type=y"]
)


def test_no_request_breaks_the_app(app, deep):
    """The same 100 requests every time; in the deep run 1,000 new ones."""
    words = {word for rule in app.url_map.iter_rules() for word in rule.rule.split("/")}
    segment = st.sampled_from(sorted(words | {"en", "", ".", ".."})) | LATIN_1
    path = st.lists(segment, max_size=5).map("/".join)
    headers = st.fixed_dictionaries({}, optional=HEADERS)

    @settings(
        max_examples=1000 if deep else 100,
        derandomize=not deep,
        deadline=None,  # a busy machine may be slow
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(path=path, method=METHOD, headers=headers, body=BODY)
    def check(path, method, headers, body):
        environ = EnvironBuilder(method=method, data=body).get_environ()
        environ.update(headers, PATH_INFO=f"/{path}")
        _, status, _ = run_wsgi_app(app, environ, buffered=True)
        assert int(status.split()[0]) < 500

    check()
