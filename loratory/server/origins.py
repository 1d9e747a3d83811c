"""What the headers of a request tell of where it comes from: pure functions, believed only as far as they are safe.

A page of another site can make a browser send requests, but it can set neither `Host`, `Origin` and `Sec-Fetch-*`,
nor, without being asked first (which this server always refuses), headers such as `X-Forwarded-Host`.
"""

from __future__ import annotations

import ipaddress
import re

from starlette.datastructures import Headers

CLIENT_HEADER = "x-loratory"
"""A program that sends a cookie without saying where it comes from shows with this header that it is no page."""

_FORWARDED = frozenset({
    "forwarded", "via", "true-client-ip", "client-ip", "x-real-ip", "x-real-port", "x-client-ip", "x-cluster-client-ip",
    "x-host", "x-scheme", "x-url-scheme", "x-nginx-proxy", "x-proxied", "x-proxyuser-ip", "proxy-connection",
    "cdn-loop", "x-envoy-external-address", "x-amzn-trace-id", "x-arr-ssl", "front-end-https",
})  # fmt: skip
_FORWARDED_BEGIN = ("x-forwarded", "x-original-", "cf-", "fly-", "fastly-", "ngrok-", "tailscale-", "x-runpod-",
                    "x-vercel-", "x-azure-", "x-goog-iap-", "x-appengine-")  # fmt: skip

_HOST = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::(?P<port>[0-9]{1,5}))?")
_ORIGIN = re.compile(r"(?P<scheme>https?)://(?P<host>[^/?#@\\\s]+)")
_REFERER = re.compile(r"https?://(?P<host>[^/?#@\\\s]+)", re.IGNORECASE)
_PORTS = {"http": 80, "https": 443}


def split_host(host: str) -> tuple[str, int | None] | None:
    """("127.0.0.1", 8675) of "127.0.0.1:8675", ("::1", None) of "[::1]"; None for what can be no host."""
    match = _HOST.fullmatch(host.strip().lower())
    if match is None:
        return None
    return match["name"].strip("[]").rstrip("."), int(match["port"]) if match["port"] else None


def is_loopback(name: str) -> bool:
    """Does this name or address always mean the machine itself? Other spellings, which browsers never send, and names
    that only some systems keep at home (app.localhost) do not count."""
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def names_loopback(host: str) -> bool:
    """Is this Host header one of the machine itself?"""
    parts = split_host(host)
    return parts is not None and is_loopback(parts[0])


def came_through_proxy(headers: Headers, http_version: str = "1.1") -> bool:
    """Is there any sign that somebody else passed this request on?

    nginx speaks HTTP/1.0 to what is behind it, unless told otherwise, and adds nothing by itself; no browser does.
    Where a proxy hides both, a page that it served still tells where it came from (`Referer`).
    """
    if http_version == "1.0" or not names_loopback(headers.get("host", "")):
        return True
    if any(name in _FORWARDED or name.startswith(_FORWARDED_BEGIN) for name in headers):
        return True
    referer = _REFERER.match(headers.get("referer", ""))
    own_page = headers.get("sec-fetch-site", "same-origin") == "same-origin"
    return own_page and referer is not None and not names_loopback(referer["host"])


def is_https(headers: Headers, scheme: str) -> bool:
    """Does the browser speak TLS, with us or with a proxy before us?"""
    first = headers.get("x-forwarded-proto", "").split(",")[0].strip().lower()
    standard = re.search(r"(?i)\bproto=\"?(https?)", headers.get("forwarded", "").split(",")[0])
    return (first or (standard[1].lower() if standard else scheme)) in ("https", "wss")


def is_same_origin(origin: str, headers: Headers) -> bool:
    """Is `origin` the place that this request was sent to, as the browser or the proxy before us names it?

    The scheme is not compared, because a proxy may have taken TLS away; a missing port is the scheme's own.
    """
    match = _ORIGIN.fullmatch(origin.strip().lower())
    ours = split_host(match["host"]) if match else None
    if match is None or ours is None:
        return False
    usual = _PORTS[match["scheme"]]
    for host in _hosts(headers):
        parts = split_host(host)
        if parts is not None and (parts[0], parts[1] or usual) == (ours[0], ours[1] or usual):
            return True
    return False


def _hosts(headers: Headers) -> list[str]:
    found = [headers.get("host", "")]
    found += [name.split(",")[0] for name in headers.getlist("x-forwarded-host")[:1]]
    standard = re.search(r"(?i)\bhost=\"?([^;,\"\s]+)", headers.get("forwarded", ""))
    return found + ([standard[1]] if standard else [])


def is_foreign_page(headers: Headers, *, open_to_all: bool, by_cookie: bool) -> bool:
    """Does a page of another site, as far as can be told, ask for a change (or a socket) in the user's name?

    `open_to_all`: the request shows nothing and is let in because it comes from this machine. `by_cookie`: the browser
    added what it shows. What a program shows by itself (a bearer token) no page can add.
    """
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if origin is not None and (open_to_all or site is None) and not is_same_origin(origin, headers):
        return True
    if site is not None:
        return site != "same-origin"
    if origin is not None or CLIENT_HEADER in headers:
        return False
    # Every browser of the last years sends one of them with a change, so this is a program; except a very old one.
    return by_cookie or (open_to_all and headers.get("user-agent", "").startswith("Mozilla/"))


def is_foreign_embedding(headers: Headers, method: str) -> bool:
    """Does a page of another site load this as a picture, script or the like? Following a link to here is no such."""
    if headers.get("sec-fetch-site") not in ("cross-site", "same-site"):
        return False
    followed = headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
    return not (method in ("GET", "HEAD") and followed)
