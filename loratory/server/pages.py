"""The two pages that are here without the browser app: asking for the token, and saying that the app is not built."""

from __future__ import annotations

import base64
import hashlib
from html import escape

from starlette.responses import HTMLResponse

_STYLE = (
    ":root{--text:#1f1f24;--quiet:#54545f;--page:#fbfbfd;--panel:#fff;--line:#dee2e6;--iris:#4d40ce;--on:#fff;"
    "--wrong:#a61e1e}"
    "@media(prefers-color-scheme:dark){:root{--text:#e9e9ee;--quiet:#b0b0ba;--page:#17171b;--panel:#1e1e23;"
    "--line:#34343c;--iris:#6f63d6;--wrong:#ffa8a8}}"
    "*{box-sizing:border-box}"
    "body{font:14px/1.55 'Inter Variable',system-ui,-apple-system,'Segoe UI',Roboto,sans-serif;margin:0;padding:1rem;"
    "min-height:100dvh;display:grid;place-items:center;color:var(--text);background:var(--page)}"
    "main{width:100%;max-width:24rem;padding:1.5rem;background:var(--panel);border:1px solid var(--line);"
    "border-radius:.75rem}"
    "h1{display:flex;gap:.625rem;align-items:center;margin:0 0 1.25rem;font-size:1.25rem;font-weight:650}"
    "label{font-weight:550}p{margin:.75rem 0 0}.quiet{color:var(--quiet);font-size:.8125rem}"
    "input,button{font:inherit;height:2.5rem;padding:0 .75rem;width:100%;border-radius:.5rem}"
    "input{margin:.25rem 0 .75rem;color:inherit;background:var(--page);border:1px solid var(--line)}"
    "button{border:0;font-weight:600;color:var(--on);background:var(--iris);cursor:pointer}"
    ":focus-visible{outline:2px solid var(--iris);outline-offset:2px}a{color:inherit}"
    "[role=alert]{color:var(--wrong)}[role=alert]:empty{display:none}"
)
_MARK = (
    '<svg width="28" height="28" viewBox="0 0 32 32" aria-hidden="true"><rect width="32" height="32" rx="8" '
    'fill="#4d40ce"/><path d="M10 24c-1-7 1-14 8-15 4-.6 7 2 7 5 0 1-.5 2-1.5 2.5L26 18l-4 .5C21 23 17 26 12 26z" '
    'fill="#fff"/><circle cx="19.5" cy="13.5" r="1.6" fill="#4d40ce"/></svg>'
)

_LOGIN_SCRIPT = """
const form = document.querySelector("form"), said = document.querySelector("[role=alert]");
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  said.textContent = "";
  try {
    const answer = await fetch(form.dataset.login, {
      method: "POST", headers: {"Content-Type": "application/json"},
      body: JSON.stringify({token: form.elements.token.value.trim()}),
    });
    if (answer.ok) location.reload(); else said.textContent = (await answer.json()).detail;
  } catch (error) { said.textContent = "The server cannot be reached; try again."; }
});
"""


def script_hash(script: str) -> str:
    """How a content security policy names one inline script."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def login_page(login: str) -> HTMLResponse:
    """Ask for the token, with status 401; `login` is the path that takes it. What was asked for comes after it."""
    page = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Loratory: log in</title><style>{_STYLE}</style></head>
<body><main><h1>{_MARK}Loratory</h1>
<form data-login="{escape(login, quote=True)}"><label for="token">Token</label>
<input id="token" name="token" type="password" autocomplete="current-password" required autofocus>
<button>Log in</button><p role="alert"></p></form>
<p class="quiet">It is in the address that <code>loratory serve</code> printed, or is the one of
<code>LORATORY_TOKEN</code>.</p>
<script>{_LOGIN_SCRIPT}</script></main></body></html>
"""
    policy = (
        f"default-src 'none'; style-src 'unsafe-inline'; script-src {script_hash(_LOGIN_SCRIPT)}; connect-src 'self'; "
        "form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
    )
    return HTMLResponse(page, 401, {"content-security-policy": policy, "www-authenticate": "Bearer"})


def not_built_page() -> HTMLResponse:
    """Say that the browser app is not part of this install."""
    page = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Loratory</title><style>{_STYLE}</style></head>
<body><main><h1>{_MARK}Loratory</h1>
<p>The server works, but Loratory was installed without its pages. To build them, run <code>make venv</code> or
<code>pip install .</code> in the folder with Loratory's sources, without <code>LORATORY_SKIP_WEB</code>, and start
<code>loratory serve</code> again. That takes packages from npm's registry; Node comes by itself.</p>
<p>Everything can be done by programs, too: <a href="api/openapi.json">what they may ask for</a>.</p>
</main></body></html>
"""
    policy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'"
    return HTMLResponse(page, 200, {"content-security-policy": policy, "cache-control": "no-cache"})
