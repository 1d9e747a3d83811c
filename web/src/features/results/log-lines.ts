/** What a line of a log is: the words that begin a line say how bad it is; the lines of a traceback belong to it. */
export type Level = "error" | "warning" | "plain";

const HEAD = /^\d{4}-\d\d-\d\d[ T][\d:,.]+ (DEBUG|INFO|WARNING|ERROR|CRITICAL) /;

export interface LogLine {
  text: string;
  level: Level;
}

/** Lines with their levels; a line without a head goes on with what is above it. */
export function levelled(lines: readonly string[], before: Level = "plain"): LogLine[] {
  let level = before;
  return lines.map((text) => {
    const head = HEAD.exec(text)?.[1];
    if (head) level = head === "ERROR" || head === "CRITICAL" ? "error" : head === "WARNING" ? "warning" : "plain";
    else if (text.startsWith("Traceback (most recent call last)")) level = "error";
    return { text, level };
  });
}

/** Pieces of a text, and whether each one is what was searched for. */
export function marked(text: string, wanted: string): { text: string; isHit: boolean; at: number }[] {
  if (!wanted) return [{ text, isHit: false, at: 0 }];
  const pieces = [];
  const low = text.toLowerCase();
  const look = wanted.toLowerCase();
  let at = 0;
  for (;;) {
    const found = low.indexOf(look, at);
    if (found < 0) break;
    if (found > at) pieces.push({ text: text.slice(at, found), isHit: false, at });
    pieces.push({ text: text.slice(found, found + look.length), isHit: true, at: found });
    at = found + look.length;
  }
  if (at < text.length) pieces.push({ text: text.slice(at), isHit: false, at });
  return pieces;
}
