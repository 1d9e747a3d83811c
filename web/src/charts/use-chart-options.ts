import { useState } from "react";
import { type ChartSearch, USUAL_SMOOTHING } from "./options";

export interface ChartOptions {
  x: "step" | "time" | "epoch";
  smooth: number;
  log: boolean;
  clip: boolean;
  change: (change: ChartSearch) => void;
  /** While it is dragged: the chart follows, the address waits. */
  drag: (smooth: number) => void;
}

/** The options of a chart, kept in the address. */
export function useChartOptions(saved: ChartSearch, save: (change: ChartSearch) => void): ChartOptions {
  const [dragged, setDragged] = useState<number | null>(null);
  return {
    x: saved.x ?? "step",
    smooth: dragged ?? saved.smooth ?? USUAL_SMOOTHING,
    log: saved.log ?? false,
    clip: saved.clip ?? true,
    change: (change) => {
      if ("smooth" in change) setDragged(null);
      save(change);
    },
    drag: setDragged,
  };
}
