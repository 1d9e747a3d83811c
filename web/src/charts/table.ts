import type uPlot from "uplot";
import type { Points } from "./thin";

/** uPlot's table: all x that occur, in their order, and of each line its value there or null. */
export function table(lines: readonly Points[], xs: readonly number[][]): uPlot.AlignedData {
  const places = lines.map(() => 0);
  const x: number[] = [];
  const columns: (number | null)[][] = lines.map(() => []);
  for (;;) {
    let next = Number.POSITIVE_INFINITY;
    for (let line = 0; line < lines.length; line += 1) {
      const value = xs[line]?.[places[line] as number];
      if (value !== undefined && value < next) next = value;
    }
    if (next === Number.POSITIVE_INFINITY) break;
    x.push(next);
    for (let line = 0; line < lines.length; line += 1) {
      const place = places[line] as number;
      const column = columns[line] as (number | null)[];
      if (xs[line]?.[place] !== next) {
        column.push(null);
        continue;
      }
      column.push(lines[line]?.values[place] as number);
      let after = place + 1;
      while (xs[line]?.[after] === next) after += 1;
      places[line] = after;
    }
  }
  return [x, ...columns] as uPlot.AlignedData;
}
