"""Request heads are read strictly: one reading or none."""

from __future__ import annotations

import httptools
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from byline.gateway.http1.errors import ProtocolError
from byline.gateway.http1.fields import Travel, read_field
from byline.gateway.http1.request_head import RequestHead, RequestHeadReader


def read(
    *lines: bytes, start: bytes = b"POST /v1/messages?beta=true HTTP/1.1", host: bool = True
) -> RequestHead:
    return RequestHeadReader().read(b"\r\n".join([start, *([b"Host: h"] if host else []), *lines]))


def refused(*lines: bytes, start: bytes = b"POST / HTTP/1.1", host: bool = True) -> int:
    with pytest.raises(ProtocolError) as caught:
        read(*lines, start=start, host=host)
    return caught.value.status


def test_a_plain_head_is_read_with_path_and_query_apart() -> None:
    head = read(b"Content-Length: 12", b"X-App: cli")
    assert (head.line.method, head.line.path, head.line.query) == (b"POST", "/v1/messages", b"?beta=true")
    assert (head.content_length, head.chunked, head.keep_alive) == (12, False, True)
    assert [field.line for field in head.fields][-1] == b"X-App: cli"


@pytest.mark.parametrize(
    "lines",
    [
        [b"Content-Length: 1", b"Content-Length: 1"],
        [b"Content-Length: 1", b"Content-Length: 2"],
        [b"Content-Length: 1, 1"],
        [b"Content-Length: +1"],
        [b"Content-Length: 0x1"],
        [b"Content-Length: "],
        [b"Content-Length: -0"],
        [b"Content-Length: 1", b"Transfer-Encoding: chunked"],
        [b"Transfer-Encoding: chunked", b"Content-Length: 1"],
        [b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"],
        [b"Content-Length : 1"],
        [b"Content-Length\t: 1"],
        [b" Content-Length: 1"],
        [b"X-A: b", b" folded"],
        [b"X-A: b", b"\tfolded"],
        [b"X-A: b\nContent-Length: 5"],
        [b"X-A: b\rContent-Length: 5"],
        [b"X-A: b\x00c"],
        [b"X-A: b\x7fc"],
        [b"no colon"],
        [b": no name"],
        [b"Bad(name): x"],
        [b""],
    ],
)
def test_ambiguous_framing_is_refused(lines: list[bytes]) -> None:
    assert refused(*lines) == 400


@pytest.mark.parametrize(
    "value", [b"gzip", b"chunked, gzip", b"gzip, chunked", b"identity", b"xchunked", b"chunked;q=1"]
)
def test_the_only_transfer_coding_is_chunked(value: bytes) -> None:
    assert refused(b"Transfer-Encoding: " + value) in {400, 501}


def test_transfer_encoding_of_an_http_1_0_client_is_refused() -> None:
    assert refused(b"Transfer-Encoding: chunked", start=b"POST / HTTP/1.0") == 400


@pytest.mark.parametrize(
    "start",
    [
        b"GET http://other/v1 HTTP/1.1",
        b"GET //host/../x#frag HTTP/1.1",
        b"OPTIONS * HTTP/1.1",
        b"CONNECT host:443 HTTP/1.1",
        b"GET / HTTP/1.1 ",
        b"GET  / HTTP/1.1",
        b"get / HTTP/1.1",
        b"GET /\xc3\xa9 HTTP/1.1",
        b"GET /a b HTTP/1.1",
        b"GET\t/ HTTP/1.1",
        b"GET / HTTP/1.1\x0b",
        b"\x16\x03\x01\x02\x00\x01",
    ],
)
def test_request_targets_that_are_not_a_plain_path_are_refused(start: bytes) -> None:
    assert refused(start=start) == 400


@pytest.mark.parametrize("version", [b"HTTP/2.0", b"HTTP/1.2", b"HTTP/0.9", b"HTTP/3"])
def test_other_versions_are_answered_505(version: bytes) -> None:
    assert refused(start=b"GET / " + version) == 505


def test_exactly_one_host_is_required() -> None:
    assert refused(host=False) == 400
    assert refused(b"Host: again") == 400
    assert read(start=b"GET / HTTP/1.0", host=False).keep_alive is False


def test_too_many_lines_and_too_long_targets_have_their_own_status() -> None:
    assert refused(*[b"X-%d: y" % number for number in range(200)]) == 431
    assert refused(start=b"GET /" + b"a" * 9000 + b" HTTP/1.1") == 414


def test_expectations_other_than_100_continue_are_refused() -> None:
    assert refused(b"Expect: 200-maybe") == 417
    assert read(b"Expect: 100-Continue").expects_continue


def test_connection_close_and_named_options_are_read() -> None:
    head = read(b"Connection: Close, X-Private")
    assert not head.keep_alive
    assert head.connection_options == {b"x-private"}


def test_upgrades_are_noticed() -> None:
    assert read(b"Connection: Upgrade", b"Upgrade: websocket").wants_upgrade


@pytest.mark.parametrize(
    ("name", "travel"),
    [
        (b"Authorization", Travel.CREDENTIAL),
        (b"X-API-Key", Travel.CREDENTIAL),
        (b"X-Byline-Key", Travel.CREDENTIAL),
        (b"Cookie", Travel.NEVER),
        (b"Forwarded", Travel.NEVER),
        (b"X-Forwarded-For", Travel.NEVER),
        (b"X-Byline-Job", Travel.NEVER),
        (b"Transfer-Encoding", Travel.FRAMING),
        (b"OpenAI-Organization", Travel.OWN_CREDENTIAL_ONLY),
        (b"traceparent", Travel.TRACE),
        (b"anthropic-beta", Travel.UPSTREAM),
        (b"anthropic-version", Travel.UPSTREAM),
    ],
)
def test_each_header_travels_as_far_as_it_may(name: bytes, travel: Travel) -> None:
    assert read_field(name + b": v").travel == travel


def test_a_trusted_proxys_identity_header_never_travels() -> None:
    assert read_field(b"X-User: ada", frozenset({b"x-user"})).travel == Travel.NEVER


def test_no_credential_is_kept_between_requests() -> None:
    reader = RequestHeadReader()
    secret = b"sk-very-secret-value"
    for name in (b"Authorization: Bearer ", b"x-api-key: ", b"X-Byline-Key: "):
        reader.read(b"GET / HTTP/1.1\r\nHost: h\r\n" + name + secret)
    assert secret not in repr(vars(reader)).encode()


def test_a_line_seen_before_is_read_the_same_way_again() -> None:
    reader = RequestHeadReader()
    head = b"POST / HTTP/1.1\r\nHost: h\r\nX-A: 1 \r\nContent-Length: 3"
    first, second = reader.read(head), reader.read(head)
    assert first.fields == second.fields
    assert second.content_length == 3


def test_lines_known_one_by_one_are_still_refused_together() -> None:
    reader = RequestHeadReader()
    reader.read(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3")
    reader.read(b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked")
    with pytest.raises(ProtocolError):
        reader.read(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nTransfer-Encoding: chunked")


class _Collector:
    def __init__(self) -> None:
        self.headers: list[tuple[bytes, bytes]] = []

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value.rstrip(b" \t")))


_names = st.sampled_from(
    [b"Content-Length", b"Transfer-Encoding", b"Host", b"X-A", b"Connection", b"Upgrade"]
)
_values = st.one_of(
    st.sampled_from([b"0", b"5", b"chunked", b"close", b"a b", b"h", b"gzip", b"keep-alive"]),
    st.binary(max_size=12),
)
_lines = st.lists(
    st.builds(
        lambda name, gap, value: name + gap + value,
        _names,
        st.sampled_from([b": ", b":", b" : ", b"\t:"]),
        _values,
    ),
    max_size=6,
)


@given(_lines)
@settings(max_examples=500)
def test_what_is_accepted_llhttp_reads_the_same_way(lines: list[bytes]) -> None:
    block = b"\r\n".join([b"POST /x HTTP/1.1", b"Host: h", *lines])
    try:
        ours = RequestHeadReader().read(block)
    except ProtocolError:
        return
    collector = _Collector()
    try:
        httptools.HttpRequestParser(collector).feed_data(block + b"\r\n\r\n")
    except httptools.HttpParserUpgrade:
        assert ours.wants_upgrade
    assert collector.headers == [(field.name, field.value) for field in ours.fields]
