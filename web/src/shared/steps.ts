/** The step that is nearest to a wanted one; the newest where none was asked for. */
export function nearest(steps: readonly number[], wanted: number | undefined): number | undefined {
  if (wanted === undefined) return steps.at(-1);
  let best: number | undefined;
  for (const step of steps) if (best === undefined || Math.abs(step - wanted) < Math.abs(best - wanted)) best = step;
  return best;
}
