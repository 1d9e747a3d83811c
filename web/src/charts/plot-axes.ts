import type uPlot from "uplot";
import { count, duration, significant } from "@/shared/format";
import type { AxisName } from "./axis";
import type { Look } from "./colors";
import type { ChartModel } from "./model";

const FONT = "12px 'Inter Variable', system-ui, sans-serif";

export function gridColor(look: Look, isStrong = false): string {
  if (look === "dark") return isStrong ? "#8d8d99" : "#2c2c33";
  return isStrong ? "#868e96" : "#ececf1";
}

export function hasRates(model: ChartModel): boolean {
  return model.curves.some((curve) => curve.scale === "rate");
}

/** Where a pointer is, in words. */
export function xText(name: AxisName, x: number, step: number): string {
  if (name === "time") return `${duration(x)} · step ${count(step)}`;
  if (name === "epoch") return `Epoch ${x.toFixed(2)} · step ${count(step)}`;
  return `Step ${count(step)}`;
}

export function axes(model: ChartModel, look: Look): uPlot.Axis[] {
  const own = {
    stroke: look === "dark" ? "#c9c9d1" : "#495057",
    grid: { stroke: gridColor(look), width: 1 },
    ticks: { show: false },
    font: FONT,
  };
  const below = (values: number[]) => values.map((value) => (model.x === "time" ? clock(value) : plain(value)));
  const found: uPlot.Axis[] = [
    { ...own, values: (_plot, values) => below(values), size: 30 },
    { ...own, scale: "y", size: 58, values: (_plot, values) => values.map((v) => (v === null ? "" : short(v))) },
  ];
  if (hasRates(model))
    found.push({
      ...own,
      scale: "rate",
      side: 1,
      size: 62,
      grid: { show: false },
      values: (_plot, values) => values.map(short),
    });
  return found;
}

function short(value: number): string {
  if (value === 0) return "0";
  return significant(value, 2);
}

function plain(value: number): string {
  return Number.isInteger(value) ? count(value) : value.toFixed(2);
}

/** 45 s, 12:30, 3:05:00. */
function clock(seconds: number): string {
  const whole = Math.round(seconds);
  if (whole < 100) return `${whole} s`;
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor((whole % 3600) / 60), whole % 60];
  const two = (value: number) => String(value).padStart(2, "0");
  return hours ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
}
