/** What of a chart's values is shown: all of them, or without the few that would flatten the rest. */

/** Of many values, about so many are looked at. */
const LOOKED_AT = 4_000;
const TAIL = 0.02;

/** Finite values (above zero for a logarithmic axis) between two places of an array, evenly picked. */
export function sampled(values: Float64Array, from: number, to: number, isLog: boolean, into: number[]): void {
  const stride = Math.max(1, Math.floor((to - from) / LOOKED_AT));
  for (let index = from; index < to; index += stride) {
    const value = values[index] as number;
    if (Number.isFinite(value) && (!isLog || value > 0)) into.push(value);
  }
}

/** The least and the largest value that can be drawn. */
export function widest(values: readonly number[], isLog: boolean): [number, number] | null {
  let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const value of values) {
    if (isLog && value <= 0) continue;
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  return low <= high ? [low, high] : null;
}

/** The quantile of sorted values, between its neighbours. */
export function quantile(sorted: readonly number[], share: number): number {
  const place = share * (sorted.length - 1);
  const low = Math.floor(place);
  const a = sorted[low] as number;
  const b = sorted[Math.min(low + 1, sorted.length - 1)] as number;
  return a + (place - low) * (b - a);
}

/**
 * From the 2nd to the 98th percentile and half of that span more on either side, within what there is: so only what
 * is far away from the rest is left out.
 */
export function withoutOutliers(values: number[]): [number, number] | null {
  if (!values.length) return null;
  const sorted = values.sort((a, b) => a - b);
  const low = quantile(sorted, TAIL);
  const high = quantile(sorted, 1 - TAIL);
  const more = (high - low) / 2;
  return [Math.max(sorted[0] as number, low - more), Math.min(sorted[sorted.length - 1] as number, high + more)];
}

/** A range with some air around it; a single value gets a range, too. */
export function padded([low, high]: [number, number], isLog: boolean): [number, number] {
  if (isLog) return low === high ? [low / 2, high * 2] : [low / 1.1, high * 1.1];
  const air = high === low ? Math.abs(high) * 0.1 || 1 : (high - low) * 0.06;
  return [low - air, high + air];
}
