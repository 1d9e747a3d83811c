import type { Series } from "./series";

export interface Points {
  steps: number[];
  values: number[];
}

/**
 * The points of a series between two steps, in so many pieces: of each piece the lowest and the highest, in their
 * order, so that no peak is lost. One point more on either side, so that a line leaves the picture.
 */
export function thinned(series: Series, values: Float64Array, from: number, to: number, pieces: number): Points {
  const first = Math.max(0, series.at(from) - 1);
  const last = Math.min(series.count, series.at(to) + 1);
  const found: Points = { steps: [], values: [] };
  const take = (index: number) => {
    found.steps.push(series.steps[index] as number);
    found.values.push(values[index] as number);
  };
  if (last - first <= 2 * pieces) {
    for (let index = first; index < last; index += 1) if (Number.isFinite(values[index])) take(index);
    return found;
  }
  const size = (last - first) / pieces;
  for (let piece = 0; piece < pieces; piece += 1) {
    const end = Math.floor(first + (piece + 1) * size);
    let lowest = -1;
    let highest = -1;
    for (let index = Math.floor(first + piece * size); index < end; index += 1) {
      const value = values[index] as number;
      if (!Number.isFinite(value)) continue;
      if (lowest < 0 || value < (values[lowest] as number)) lowest = index;
      if (highest < 0 || value > (values[highest] as number)) highest = index;
    }
    if (lowest < 0) continue;
    take(Math.min(lowest, highest));
    if (lowest !== highest) take(Math.max(lowest, highest));
  }
  return found;
}
