import { useEffect, useSyncExternalStore } from "react";
import type { RunNumbers } from "./run-numbers";

/** Asks for series, and renders when they are there; not when they grow. */
export function useNumbers(numbers: RunNumbers, names: readonly string[]): number {
  const key = names.join("\n");
  useEffect(() => {
    void numbers.want(key ? key.split("\n") : []);
  }, [numbers, key]);
  return useSyncExternalStore(numbers.subscribe, () => numbers.version);
}
