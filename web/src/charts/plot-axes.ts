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
export function xText(name: AxisName, x: number, step: number | null): string {
  if (name === "step") return `Step ${count(step ?? Math.round(x))}`;
  const said = name === "time" ? duration(x) : `Epoch ${x.toFixed(2)}`;
  return step === null ? said : `${said} · step ${count(step)}`;
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
    { ...own, scale: "y", size: 58, values: (_plot, values) => (model.isLog ? logarithmic(values) : alike(values)) },
  ];
  if (hasRates(model))
    found.push({
      ...own,
      scale: "rate",
      side: 1,
      size: 62,
      grid: { show: false },
      values: (_plot, values) => alike(values),
    });
  return found;
}

/** The numbers beside an even axis: all in one form, with as many digits as tell them apart. */
export function alike(values: readonly number[]): string[] {
  const largest = Math.max(0, ...values.map(Math.abs));
  const inPowers = largest > 0 && (largest < 0.01 || largest >= 1e6);
  const power = inPowers ? Math.floor(Math.log10(largest)) : 0;
  const parts = values.map((value) => value / 10 ** power);
  const isEnough = (digits: number) => parts.every((each) => Math.abs(Number(each.toFixed(digits)) - each) < 1e-6);
  const digits = [0, 1, 2, 3, 4].find(isEnough) ?? 5;
  return parts.map((each) => {
    if (each === 0) return "0";
    return inPowers ? `${each.toFixed(digits)}e${power}`.replace("-", "−") : each.toFixed(digits);
  });
}

/** uPlot gives null for marks of a logarithmic axis that shall have no number. */
function logarithmic(values: readonly (number | null)[]): string[] {
  return values.map((value) => (value === null ? "" : significant(value, 2)));
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
