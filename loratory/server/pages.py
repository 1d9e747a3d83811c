"""The two pages that are here without the browser app: asking for the token, and saying that the app is not built."""

from __future__ import annotations

import base64
import hashlib
from html import escape

from starlette.responses import HTMLResponse

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:32rem;margin:15vh auto;padding:0 1rem}"
    "body{color:#222;background:#fff}"
    "input,button{font:inherit;padding:.5rem .75rem}input{width:100%;box-sizing:border-box;margin:.25rem 0 1rem}"
    "[role=alert]{color:#a11;min-height:1.5em}"
    "@media(prefers-color-scheme:dark){body{color:#eee;background:#1a1b1e}[role=alert]{color:#f99}}"
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
<body><h1>Loratory</h1>
<form data-login="{escape(login, quote=True)}"><label for="token">Token</label>
<input id="token" name="token" type="password" autocomplete="current-password" required autofocus>
<button>Log in</button><p role="alert"></p></form>
<p>It is in the address that <code>loratory serve</code> printed, or is the one of <code>LORATORY_TOKEN</code>.</p>
<script>{_LOGIN_SCRIPT}</script></body></html>
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
<body><h1>Loratory</h1>
<p>The server works, but Loratory was installed without its pages. To build them, run <code>make venv</code> or
<code>pip install .</code> in the folder with Loratory's sources, without <code>LORATORY_SKIP_WEB</code>, and start
<code>loratory serve</code> again. That takes packages from npm's registry; Node comes by itself.</p>
<p>Everything can be done by programs, too: <a href="api/openapi.json">what they may ask for</a>.</p>
</body></html>
"""
    policy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'"
    return HTMLResponse(page, 200, {"content-security-policy": policy, "cache-control": "no-cache"})
