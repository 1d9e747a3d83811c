import type { Series } from "./series";

export type AxisName = "step" | "time" | "epoch";

/** What stands below a chart. Every curve is kept by step; these go there and back. */
export interface Axis {
  toX(step: number): number;
  toStep(x: number): number;
}

export const BY_STEP: Axis = { toX: (step) => step, toStep: (x) => x };

/** By time since the run's first number; between two known points it passes evenly. */
export function byTime(times: Series): Axis {
  // Asked for each time: the first number may come after the axis was made.
  const start = () => (times.count ? (times.values[0] as number) : 0);
  const between = (a: Float64Array, b: Float64Array, value: number): number => {
    if (!times.count) return value;
    let low = 0;
    let high = times.count - 1;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((a[middle] as number) < value) low = middle + 1;
      else high = middle;
    }
    const before = Math.max(0, low - 1);
    const [x0, x1] = [a[before] as number, a[low] as number];
    const [y0, y1] = [b[before] as number, b[low] as number];
    if (x1 === x0) return y1;
    return y0 + ((Math.min(Math.max(value, x0), x1) - x0) / (x1 - x0)) * (y1 - y0);
  };
  return {
    toX: (step) => between(times.steps, times.values, step) - start(),
    toStep: (x) => between(times.values, times.steps, x + start()),
  };
}

/**
 * How many steps an epoch has, from the epochs that were written: the first step of the last one tells. Null while the
 * first epoch is under way, for then nobody knows.
 */
export function stepsPerEpoch(epochs: Series): number | null {
  const last = epochs.lastValue;
  if (last === null || last < 2) return null;
  let index = epochs.count - 1;
  while (index > 0 && epochs.values[index - 1] === last) index -= 1;
  const before = index > 0 ? (epochs.steps[index - 1] as number) : 0;
  return before / (last - 1) || null;
}

export function byEpoch(epochs: Series): Axis | null {
  const steps = stepsPerEpoch(epochs);
  return steps === null ? null : { toX: (step) => step / steps, toStep: (x) => x * steps };
}
