import type { TusDetailedError } from "@uppy/tus";
import { type Problem, problemOf } from "@/api/problem";

/** What sending the same file again can mend. */
const PASSING = new Set([
  "disconnected",
  "disk_full",
  "unreadable",
  "unforeseen",
  "silence",
  "cut",
  "import",
  "token_required",
]);

/** What sending once more never mends. */
const ENDING = new Set(["exists", "wrong_type", "empty_file"]);

export function isPassing(problem: Problem): boolean {
  return problem.isDisconnected || PASSING.has(problem.code);
}

/** What the server said to a request of an upload; nobody may have answered. */
export function problemOfAnswer(body: string | undefined, status = 0): Problem {
  try {
    return problemOf(JSON.parse(body ?? ""), status);
  } catch {
    return problemOf(body, status);
  }
}

export function problemOfTus(error: TusDetailedError): Problem {
  return problemOfAnswer(error.originalResponse?.getBody(), error.originalResponse?.getStatus());
}

/** Whether asking again by itself is of no use. */
export function isFinal(problem: Problem, method: string | undefined): boolean {
  return ENDING.has(problem.code) || (problem.status === 409 && method === "POST");
}
