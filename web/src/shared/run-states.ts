const ACTIVE = new Set(["starting", "caching", "training", "validating", "sampling", "saving"]);

/** Does a process work on a run of this state? */
export function isActive(state: string): boolean {
  return ACTIVE.has(state);
}
