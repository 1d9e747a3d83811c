import { type Axis, type AxisName, BY_STEP, byEpoch, byTime } from "./axis";
import { type Look, lineColor } from "./colors";
import type { Curve } from "./model";
import { seriesLabel } from "./names";
import type { RunNumbers } from "./run-numbers";

/** The series that an axis needs beside what is drawn. */
export function axisSeries(x: AxisName): string[] {
  return x === "step" ? [] : [x];
}

export function axisOf(numbers: RunNumbers, x: AxisName): Axis {
  const series = x === "step" ? undefined : numbers.get(x);
  if (!series) return BY_STEP;
  return x === "time" ? byTime(series) : (byEpoch(series) ?? BY_STEP);
}

/** Rates are ten thousand times smaller than losses: they get a scale of their own. */
export function isRate(name: string): boolean {
  return name.startsWith("lr/") || name.startsWith("lr_") || name === "learning_rate";
}

/** Measured in the same way each time: nothing to smooth. */
const SMOOTH_AS_IT_IS =
  /^(validation_|lr|learning_rate|loss_ema|grad_ema|alpha|linear_|conv_|phase|steps_in|memory|epoch)/;

/** The lines of one run, in the order of their colours. */
export function curvesOf(numbers: RunNumbers, names: readonly string[], x: AxisName, look: Look): Curve[] {
  const axis = axisOf(numbers, x);
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
