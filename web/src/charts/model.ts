import type { Axis, AxisName } from "./axis";
import type { Series } from "./series";

export type Scale = "y" | "rate";

/** A line of a chart. */
export interface Curve {
  /** Names it among the others: "run/loss". */
  key: string;
  label: string;
  color: string;
  series: Series;
  axis: Axis;
  scale: Scale;
  /** Draw the running mean, and the values themselves pale behind it. */
  isSmooth: boolean;
  dash?: number[];
}

/** Everything that a chart shows. */
export interface ChartModel {
  curves: readonly Curve[];
  x: AxisName;
  isLog: boolean;
  isClipped: boolean;
  /** Weight of the running mean, 0 to below 1. */
  smoothing: number;
  /** Steps with samples. */
  marks: readonly number[];
  /** The step whose samples are shown. */
  selected: number | null;
}
