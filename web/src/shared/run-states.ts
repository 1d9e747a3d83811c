/** What states of runs are called, and their colours: few, and each means something. */
interface StateWords {
  label: string;
  color: "blue" | "green" | "red" | "orange" | "gray";
}

const STATES: Record<string, StateWords> = {
  queued: { label: "Waiting", color: "gray" },
  starting: { label: "Starting", color: "blue" },
  caching: { label: "Caching", color: "blue" },
  training: { label: "Training", color: "blue" },
  validating: { label: "Validating", color: "blue" },
  sampling: { label: "Sampling", color: "blue" },
  saving: { label: "Saving", color: "blue" },
  finished: { label: "Finished", color: "green" },
  stopped: { label: "Stopped", color: "gray" },
  failed: { label: "Failed", color: "red" },
  died: { label: "Died", color: "red" },
};

export function stateWords(state: string): StateWords {
  return STATES[state] ?? { label: state, color: "gray" };
}

const ACTIVE = new Set(["starting", "caching", "training", "validating", "sampling", "saving"]);

/** Does a process work on it? */
export function isActive(state: string): boolean {
  return ACTIVE.has(state);
}
