/** What the server says when something cannot be done (RFC 9457), and what the browser says when nobody answers. */

export class Problem extends Error {
  /** 0 where nobody answered. */
  readonly status: number;
  /** For programs; stays the same whatever the sentence is. */
  readonly code: string;
  /** Further members of the document, such as `errors`. */
  readonly more: Readonly<Record<string, unknown>>;

  constructor(status: number, code: string, message: string, more: Record<string, unknown> = {}) {
    super(message);
    this.name = "Problem";
    this.status = status;
    this.code = code;
    this.more = more;
  }

  get isDisconnected(): boolean {
    return this.status === 0 || this.status === 502 || this.status === 503 || this.status === 504;
  }
}

const UNREACHABLE =
  "The server cannot be reached. What you typed is kept; it goes on by itself when the server is back.";

/** Whatever was thrown, as a Problem. */
export function problemOf(error: unknown, status = 0): Problem {
  if (error instanceof Problem) return error;
  if (error && typeof error === "object" && "detail" in error && "code" in error) {
    const { detail, code, status: said, type: _type, title: _title, ...more } = error as Record<string, unknown>;
    return new Problem(typeof said === "number" ? said : status, String(code), String(detail), more);
  }
  if (status >= 400) return new Problem(status, "unreadable", `The server, or a proxy before it, answered ${status}.`);
  return new Problem(0, "disconnected", UNREACHABLE);
}
