import type uPlot from "uplot";
import type { Look } from "./colors";
import type { ChartModel } from "./model";
import { gridColor } from "./plot-axes";

const SIZE = 5;

/** The steps with samples: a small triangle at the foot of the chart each, and a line through the chosen one. */
export function drawMarks(plot: uPlot, model: ChartModel, look: Look): void {
  const axis = model.curves[0]?.axis;
  if (!axis || !model.marks.length) return;
  const { ctx, bbox } = plot;
  const size = SIZE * devicePixelRatio;
  const foot = bbox.top + bbox.height;
  ctx.save();
  for (const step of model.marks) {
    const x = plot.valToPos(axis.toX(step), "x", true);
    if (x < bbox.left - 1 || x > bbox.left + bbox.width + 1) continue;
    const isSelected = step === model.selected;
    const strong = look === "dark" ? "#ffffff" : "#000000";
    ctx.fillStyle = ctx.strokeStyle = isSelected ? strong : gridColor(look, true);
    if (isSelected) {
      ctx.lineWidth = devicePixelRatio;
      ctx.setLineDash([4 * devicePixelRatio, 3 * devicePixelRatio]);
      ctx.beginPath();
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, foot);
      ctx.stroke();
    }
    ctx.beginPath();
    ctx.moveTo(x - size, foot);
    ctx.lineTo(x + size, foot);
    ctx.lineTo(x, foot - 1.6 * size);
    ctx.fill();
  }
  ctx.restore();
}
