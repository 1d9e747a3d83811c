const KEPT = 0.8;

/** An average over the last steps, without the pull towards zero at its beginning; what is not finite is left out. */
export function smooth(values: ArrayLike<number>): number[] {
  const found: number[] = [];
  let sum = 0;
  let weight = 0;
  for (const value of Array.from(values)) {
    if (!Number.isFinite(value)) continue;
    sum = KEPT * sum + (1 - KEPT) * value;
    weight = KEPT * weight + (1 - KEPT);
    found.push(sum / weight);
  }
  return found;
}

/** A line through the values that fills the box but for a margin of its own width. */
export function pathOf(values: readonly number[], width: number, height: number): string {
  const low = Math.min(...values);
  const span = Math.max(...values) - low || 1;
  return values
    .map((value, place) => {
      const x = (place / Math.max(1, values.length - 1)) * width;
      const y = 2 + (1 - (value - low) / span) * (height - 4);
      return `${place === 0 ? "M" : "L"}${x.toFixed(1)} ${y.toFixed(1)}`;
    })
    .join("");
}
