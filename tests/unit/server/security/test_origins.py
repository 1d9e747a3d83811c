"""What headers tell, as tables: hosts, origins, signs of proxies."""

import pytest
from starlette.datastructures import Headers

from loratory.server.origins import (
    came_through_proxy,
    is_foreign_embedding,
    is_foreign_page,
    is_https,
    is_same_origin,
    names_loopback,
)

LOCAL = "127.0.0.1:8675"

LOOPBACK = [
    "127.0.0.1",
    "127.0.0.1:8675",
    "127.8.9.1:80",
    "localhost",
    "LOCALHOST:8675",
    "localhost.",
    "[::1]",
    "[::1]:1",
]
FOREIGN = [
    "", "evil.org", "evil.org:8675", "127.0.0.1.evil.org", "localhost.evil.org", "evil.org#127.0.0.1",
    "127.0.0.1@evil.org", "evil.org/127.0.0.1", "127.0.0.1,evil.org", "127.0.0.1 evil.org", "0.0.0.0:8675", "[::]",
    "192.168.0.7:8675", "10.0.0.1", "127.1", "0x7f.0.0.1", "2130706433", "app.localhost", "localhost\x00.evil.org",
    "[::1].evil.org", "[::1", "::1:8675:evil", "127.0.0.1:8675:9", "127.0.0.1:port", "localhost%2eevil.org",
]  # fmt: skip


@pytest.mark.parametrize("host", LOOPBACK)
def test_hosts_of_this_machine(host):
    assert names_loopback(host)
    assert not came_through_proxy(Headers({"host": host}))


@pytest.mark.parametrize("host", FOREIGN)
def test_all_other_hosts(host):
    assert not names_loopback(host)
    assert came_through_proxy(Headers({"host": host}))


SIGNS = [
    {"forwarded": "for=1.2.3.4"}, {"via": "1.1 proxy"}, {"x-forwarded-for": "1.2.3.4"}, {"x-forwarded-host": "a"},
    {"X-Forwarded-Proto": "https"}, {"x-forwarded-server": "a"}, {"x-forwarded-anything-new": ""},
    {"x-real-ip": "1.2.3.4"},
    {"cf-connecting-ip": "1.2.3.4"}, {"cf-ray": "1"}, {"cdn-loop": "cloudflare"}, {"true-client-ip": "1.2.3.4"},
    {"x-client-ip": "1"}, {"x-cluster-client-ip": "1"}, {"x-original-uri": "/"}, {"fly-client-ip": "1"},
    {"tailscale-user-login": "a@b"}, {"x-runpod-request": "1"}, {"x-envoy-external-address": "1"},
    {"x-amzn-trace-id": "1"},
    {"referer": "https://pod-8675.proxy.runpod.net/runs"},
    {"referer": "https://pod-8675.proxy.runpod.net/runs", "sec-fetch-site": "same-origin"},
]  # fmt: skip


@pytest.mark.parametrize("sign", SIGNS, ids=str)
def test_signs_of_a_proxy(sign):
    assert came_through_proxy(Headers({"host": LOCAL, **sign}))


def test_nginx_as_it_comes_speaks_http_1_0():
    assert came_through_proxy(Headers({"host": LOCAL}), "1.0")


@pytest.mark.parametrize(
    "usual",
    [
        {"user-agent": "Mozilla/5.0", "accept": "*/*", "accept-encoding": "br", "cookie": "a=b", "connection": "close"},
        {"referer": "http://127.0.0.1:8675/runs", "sec-fetch-site": "same-origin", "sec-fetch-mode": "cors"},
        {"referer": "https://www.example.org/", "sec-fetch-site": "cross-site"},  # a link that was followed
        {"x-loratory": "1", "authorization": "Bearer x", "x-requested-with": "XMLHttpRequest", "dnt": "1"},
    ],
)
def test_a_browser_here_is_no_proxy(usual):
    assert not came_through_proxy(Headers({"host": LOCAL, **usual}))


SAME = [
    ("http://127.0.0.1:8675", {"host": "127.0.0.1:8675"}),
    ("http://LOCALHOST:8675", {"host": "localhost:8675"}),
    ("http://[::1]:8675", {"host": "[::1]:8675"}),
    ("https://lora.example.org", {"host": "lora.example.org"}),
    ("https://lora.example.org", {"host": "lora.example.org:443"}),
    ("http://lora.example.org:80", {"host": "lora.example.org"}),
    ("https://lora.example.org", {"host": LOCAL, "x-forwarded-host": "lora.example.org"}),
    ("https://lora.example.org:33526", {"host": LOCAL, "x-forwarded-host": "lora.example.org:33526, inner"}),
    ("https://lora.example.org", {"host": LOCAL, "forwarded": 'for=1;host="lora.example.org";proto=https'}),
]
OTHER = [
    ("http://127.0.0.1:8675", {"host": "localhost:8675"}),
    ("http://127.0.0.1:3000", {"host": "127.0.0.1:8675"}),
    ("https://lora.example.org", {"host": "lora.example.org:8675"}),
    ("https://lora.example.org:8443", {"host": "lora.example.org"}),
    ("https://evil.org", {"host": "lora.example.org", "x-forwarded-host": "lora.example.org, evil.org"}),
    ("https://lora.example.org.evil.org", {"host": "lora.example.org"}),
    ("https://evil-lora.example.org", {"host": "lora.example.org"}),
    ("https://evil.org", {"host": "lora.example.org"}),
    ("https://evil.org/lora.example.org", {"host": "lora.example.org"}),
    ("https://lora.example.org@evil.org", {"host": "lora.example.org"}),
    ("https://lora.example.org\\@evil.org", {"host": "lora.example.org"}),
    ("file://", {"host": LOCAL}), ("chrome-extension://abc", {"host": LOCAL}), ("null", {"host": LOCAL}),
    ("", {"host": ""}), ("http://", {"host": ""}), ("http://:80", {"host": ":80"}), ("ftp://a", {"host": "a"}),
    ("http://a http://b", {"host": "a"}), ("127.0.0.1:8675", {"host": LOCAL}),
]  # fmt: skip


@pytest.mark.parametrize(("origin", "headers"), SAME)
def test_same_origins(origin, headers):
    assert is_same_origin(origin, Headers(headers))


@pytest.mark.parametrize(("origin", "headers"), OTHER)
def test_other_origins(origin, headers):
    assert not is_same_origin(origin, Headers(headers))


@pytest.mark.parametrize(
    ("headers", "scheme", "https"),
    [
        ({}, "http", False), ({}, "https", True), ({}, "wss", True), ({}, "ws", False),
        ({"x-forwarded-proto": "https"}, "http", True), ({"x-forwarded-proto": "HTTPS, http"}, "http", True),
        ({"x-forwarded-proto": "http"}, "https", False), ({"forwarded": "for=1;proto=https"}, "http", True),
        ({"forwarded": "proto=http, proto=https"}, "http", False),
    ],
)  # fmt: skip
def test_https(headers, scheme, https):
    assert is_https(Headers(headers), scheme) is https


OPEN, COOKIE = {"open_to_all": True, "by_cookie": False}, {"open_to_all": False, "by_cookie": True}
HERE, EVIL = {"host": LOCAL, "origin": f"http://{LOCAL}"}, {"host": LOCAL, "origin": "https://evil.org"}


@pytest.mark.parametrize(
    ("headers", "how", "foreign"),
    [
        (HERE, OPEN, False),
        (HERE, COOKIE, False),
        (EVIL, OPEN, True),
        (EVIL, COOKIE, True),
        ({"host": LOCAL, "origin": "null"}, OPEN, True),
        ({"host": LOCAL, "origin": "null"}, COOKIE, True),
        (HERE | {"sec-fetch-site": "cross-site"}, OPEN, True),
        (HERE | {"sec-fetch-site": "same-site"}, COOKIE, True),  # another port, or another's subdomain
        (HERE | {"sec-fetch-site": "none"}, COOKIE, True),
        ({"host": LOCAL, "sec-fetch-site": "same-origin"}, COOKIE, False),
        # The proxy before us changed Host: the browser says that it is the same page. Without a token that would let in
        # whoever comes through a proxy that tells nothing.
        (EVIL | {"sec-fetch-site": "same-origin"}, COOKIE, False),
        (EVIL | {"sec-fetch-site": "same-origin"}, OPEN, True),
        ({"host": LOCAL}, OPEN, False),  # a script
        ({"host": LOCAL}, COOKIE, True),
        ({"host": LOCAL, "x-loratory": "1"}, COOKIE, False),
        ({"host": LOCAL, "user-agent": "Mozilla/5.0 (very old)"}, OPEN, True),
        ({"host": LOCAL, "user-agent": "Mozilla/5.0", "x-loratory": "1"}, OPEN, False),
        (EVIL | {"x-loratory": "1"}, OPEN, True),
    ],
)
def test_changes_that_pages_ask_for(headers, how, foreign):
    assert is_foreign_page(Headers(headers), **how) is foreign


@pytest.mark.parametrize(
    ("headers", "method", "foreign"),
    [
        ({}, "GET", False),
        ({"sec-fetch-site": "none"}, "GET", False),
        ({"sec-fetch-site": "same-origin", "sec-fetch-dest": "image"}, "GET", False),
        ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}, "GET", False),
        ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}, "POST", True),
        ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe"}, "GET", True),
        ({"sec-fetch-site": "same-site", "sec-fetch-mode": "no-cors", "sec-fetch-dest": "image"}, "GET", True),
        ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "cors", "sec-fetch-dest": "empty"}, "OPTIONS", True),
    ],
)
def test_what_other_pages_may_load(headers, method, foreign):
    assert is_foreign_embedding(Headers(headers), method) is foreign
