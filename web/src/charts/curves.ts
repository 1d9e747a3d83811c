import { type Axis, type AxisName, BY_STEP, byEpoch, byTime } from "./axis";
import { type Look, lineColor } from "./colors";
import type { Curve } from "./model";
import { seriesLabel } from "./names";
import type { RunNumbers } from "./run-numbers";

/** What any axis needs beside what is drawn. */
export const AXIS_SERIES: readonly string[] = ["time", "epoch"];

/** Null where it cannot be told: no epoch is over yet, or the series is not there (yet). */
export function axisOf(numbers: RunNumbers, x: AxisName): Axis | null {
  if (x === "step") return BY_STEP;
  const series = numbers.get(x);
  if (!series?.count) return null;
  return x === "time" ? byTime(series) : byEpoch(series);
}

/** Can the curves of a run be drawn over its epochs? */
export function hasEpochs(numbers: RunNumbers): boolean {
  return axisOf(numbers, "epoch") !== null;
}

/** Rates are ten thousand times smaller than losses: they get a scale of their own. */
export function isRate(name: string): boolean {
  return name.startsWith("lr/") || name.startsWith("lr_") || name === "learning_rate";
}

/** Measured in the same way each time: nothing to smooth. */
const SMOOTH_AS_IT_IS =
  /^(validation_|lr|learning_rate|loss_ema|grad_ema|alpha|linear_|conv_|phase|steps_in|memory|epoch)/;

/** The lines of one run, in the order of their colours; none while the axis cannot be told. */
export function curvesOf(numbers: RunNumbers, names: readonly string[], x: AxisName, look: Look): Curve[] {
  const axis = axisOf(numbers, x);
  if (!axis) return [];
  return names.flatMap((name, index) => {
    const series = numbers.get(name);
    if (!series?.count) return [];
    return [
      {
        key: name,
        label: seriesLabel(name),
        color: lineColor(index, look),
        series,
        axis,
        scale: isRate(name) ? ("rate" as const) : ("y" as const),
        isSmooth: !SMOOTH_AS_IT_IS.test(name),
        dash: isRate(name) ? [5, 4] : undefined,
      },
    ];
  });
}
