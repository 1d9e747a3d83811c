import type { JobShown } from "@/api/generated/types.gen";

type State = JobShown["state"];

const WORKING: readonly State[] = ["starting", "running", "unresponsive", "stopping", "pausing"];
const WAITING: readonly State[] = ["waiting", "held"];

export function isWorking(job: { state: State }): boolean {
  return WORKING.includes(job.state);
}

export function isWaiting(job: { state: State }): boolean {
  return WAITING.includes(job.state);
}

/** From 0 to 1; null where it is not known yet. */
export function progressOf(job: { step?: number | null; total_steps?: number | null }): number | null {
  return job.step == null || !job.total_steps ? null : Math.min(1, job.step / job.total_steps);
}

const WORDS: Record<string, { label: string; color: string }> = {
  queued: { label: "Waiting", color: "gray" },
  waiting: { label: "Waiting", color: "gray" },
  held: { label: "On hold", color: "yellow" },
  starting: { label: "Starting", color: "iris" },
  caching: { label: "Preparing", color: "iris" },
  running: { label: "Running", color: "iris" },
  training: { label: "Training", color: "iris" },
  validating: { label: "Validating", color: "iris" },
  sampling: { label: "Sampling", color: "iris" },
  saving: { label: "Saving", color: "iris" },
  unresponsive: { label: "No answer", color: "orange" },
  stopping: { label: "Stopping", color: "gray" },
  pausing: { label: "Pausing", color: "gray" },
  paused: { label: "Paused", color: "yellow" },
  finished: { label: "Finished", color: "green" },
  stopped: { label: "Stopped", color: "gray" },
  failed: { label: "Failed", color: "red" },
  died: { label: "Died", color: "red" },
};

/** How a state of a job or a run is told, and its colour. */
export function stateWord(state: string): { label: string; color: string } {
  return WORDS[state] ?? { label: state.charAt(0).toUpperCase() + state.slice(1), color: "gray" };
}

const OVER = ["finished", "stopped", "failed", "died"];

/** What a working job does just now: its phase where the engine says one. */
export function doingWord(job: Pick<JobShown, "state" | "phase">): string {
  const isEnding = job.state === "stopping" || job.state === "pausing" || job.state === "unresponsive";
  if (isEnding || !job.phase) return stateWord(job.state).label;
  // Its work is done, and its process takes a moment to leave.
  return OVER.includes(job.phase) ? "Ending" : stateWord(job.phase).label;
}
