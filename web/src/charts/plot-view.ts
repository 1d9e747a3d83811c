import uPlot from "uplot";
import { significant } from "@/shared/format";
import type { Look } from "./colors";
import { drawMarks } from "./marks";
import type { ChartModel, Curve, Scale } from "./model";
import { axes, hasRates, xText } from "./plot-axes";
import { padded, sampled, widest, withoutOutliers } from "./range";
import { Smoothed } from "./smoothing";
import { table } from "./table";
import { type Points, thinned } from "./thin";
import { Tip } from "./tip";

/** How long between two drawings while numbers come: ten in a second. */
const EVERY_MS = 100;

/**
 * A chart that draws itself, outside of React: a new model or new numbers change what is drawn and nothing else. What
 * somebody zoomed to stays until he double-clicks.
 */
export class PlotView {
  private plot: uPlot | null = null;
  private model: ChartModel;
  private readonly means = new Map<string, Smoothed>();
  private zoom: [number, number] | null = null;
  private timer = 0;
  private shape = "";
  private readonly tip: Tip;
  private readonly resized: ResizeObserver;

  constructor(
    private readonly place: HTMLElement,
    model: ChartModel,
    private look: Look,
    private readonly height: () => number,
    private readonly onPick: (step: number) => void,
    private readonly onZoom: (isZoomed: boolean) => void,
  ) {
    this.model = model;
    this.tip = new Tip(place);
    this.resized = new ResizeObserver(() => this.resize());
    this.resized.observe(place);
    this.build();
  }

  destroy(): void {
    window.clearTimeout(this.timer);
    this.resized.disconnect();
    this.plot?.destroy();
    this.tip.destroy();
  }

  show(model: ChartModel, look: Look): void {
    const moved = model.x !== this.model.x;
    this.model = model;
    this.look = look;
    if (moved) this.setZoom(null);
    if (this.shapeOf() === this.shape) this.draw();
    else this.build();
  }

  /** New numbers: drawn soon, and several at once. */
  touch = (): void => {
    if (this.timer) return;
    this.timer = window.setTimeout(() => {
      this.timer = 0;
      if (document.visibilityState === "hidden") this.touch();
      else this.draw();
    }, EVERY_MS);
  };

  resetZoom(): void {
    this.setZoom(null);
    this.draw();
  }

  private setZoom(to: [number, number] | null): void {
    if ((to === null) !== (this.zoom === null)) this.onZoom(to !== null);
    this.zoom = to;
  }

  /** What a change of needs a new plot. */
  private shapeOf(): string {
    const { curves, isLog, x } = this.model;
    return [this.look, isLog, x, ...curves.map((each) => `${each.key} ${each.color} ${each.isSmooth}`)].join("|");
  }

  private resize(): void {
    const width = this.place.clientWidth;
    if (!this.plot || !width) return;
    this.plot.setSize({ width, height: this.height() });
    this.touch();
  }

  private build(): void {
    this.plot?.destroy();
    this.shape = this.shapeOf();
    const series: uPlot.Series[] = [{}];
    for (const curve of this.model.curves) {
      const own = {
        scale: curve.scale,
        stroke: curve.color,
        spanGaps: true,
        points: { show: false },
        dash: curve.dash,
      };
      if (curve.isSmooth) series.push({ ...own, alpha: 0.28, width: 1 });
      series.push({ ...own, label: curve.label, width: curve.scale === "rate" ? 1.25 : 2 });
    }
    this.plot = new uPlot(
      {
        width: Math.max(50, this.place.clientWidth),
        height: this.height(),
        series,
        scales: {
          x: { time: false, auto: false },
          y: { distr: this.model.isLog ? 3 : 1, auto: false },
          rate: { auto: false },
        },
        axes: axes(this.model, this.look),
        legend: { show: false },
        padding: [12, hasRates(this.model) ? 4 : 14, 0, 4],
        cursor: { drag: { x: true, y: false, setScale: false, dist: 6 }, points: { show: false } },
        hooks: {
          draw: [(plot) => drawMarks(plot, this.model, this.look)],
          setSelect: [(plot) => this.takeZoom(plot)],
          setCursor: [(plot) => this.tell(plot)],
          ready: [(plot) => this.listen(plot)],
        },
      },
      [[]],
      this.place,
    );
    this.draw();
  }

  private draw(): void {
    const plot = this.plot;
    if (!plot) return;
    const [low, high] = this.zoom ?? this.whole();
    const pieces = Math.max(100, Math.round(plot.width));
    const lines: Points[] = [];
    const xs: number[][] = [];
    const shown: Record<Scale, number[]> = { y: [], rate: [] };
    for (const curve of this.model.curves) {
      const from = curve.axis.toStep(low);
      const to = curve.axis.toStep(high);
      const raw = thinned(curve.series, curve.series.values, from, to, pieces);
      for (const value of raw.values) shown[curve.scale].push(value);
      lines.push(raw);
      xs.push(raw.steps.map(curve.axis.toX));
      if (!curve.isSmooth) continue;
      const mean = thinned(curve.series, this.meanOf(curve), from, to, pieces);
      lines.push(mean);
      xs.push(mean.steps.map(curve.axis.toX));
    }
    plot.batch(() => {
      plot.setData(table(lines, xs), false);
      plot.setScale("x", { min: low, max: high });
      plot.setScale("y", this.rangeOf("y", shown.y, low, high));
      plot.setScale("rate", this.rangeOf("rate", shown.rate, low, high));
    });
    this.say(plot);
  }

  /** What is drawn, in numbers: for programs that look at the page, such as its tests. */
  private say(plot: uPlot): void {
    const { curves } = this.model;
    const range = ({ min = 0, max = 0 }: uPlot.Scale) => `${min} ${max}`;
    this.place.dataset.points = String(curves.reduce((sum, { series }) => sum + series.count, 0));
    this.place.dataset.last = String(curves.reduce((last, { series }) => Math.max(last, series.lastStep), -1));
    this.place.dataset.x = range(plot.scales.x as uPlot.Scale);
    this.place.dataset.y = range(plot.scales.y as uPlot.Scale);
  }

  private meanOf(curve: Curve): Float64Array {
    let mean = this.means.get(curve.key);
    if (mean?.series !== curve.series || mean.weight !== this.model.smoothing) {
      mean = new Smoothed(curve.series, this.model.smoothing);
      this.means.set(curve.key, mean);
    }
    return mean.update();
  }

  /** From the first to the last x of all curves. */
  private whole(): [number, number] {
    let low = Number.POSITIVE_INFINITY;
    let high = Number.NEGATIVE_INFINITY;
    for (const { series, axis } of this.model.curves) {
      if (!series.count) continue;
      low = Math.min(low, axis.toX(series.steps[0] as number));
      high = Math.max(high, axis.toX(series.lastStep));
    }
    return low < high ? [low, high] : [0, Math.max(1, Number.isFinite(high) ? high : 1)];
  }

  /** Of all values that are shown (thinned, with every peak); without outliers, of how the values are spread. */
  private rangeOf(scale: Scale, shown: readonly number[], low: number, high: number): { min: number; max: number } {
    const isLog = scale === "y" && this.model.isLog;
    const found = scale === "y" && this.model.isClipped ? this.withoutOutliers(low, high, isLog) : widest(shown, isLog);
    if (!found) return isLog ? { min: 0.1, max: 1 } : { min: 0, max: 1 };
    const [min, max] = padded(found, isLog);
    return { min: scale === "rate" ? Math.min(0, min) : min, max };
  }

  private withoutOutliers(low: number, high: number, isLog: boolean): [number, number] | null {
    const found: number[] = [];
    for (const { scale, series, axis } of this.model.curves) {
      if (scale !== "y") continue;
      const from = series.at(axis.toStep(low));
      const to = series.at(axis.toStep(high) + 1e-9) + 1;
      sampled(series.values, Math.max(0, from - 1), Math.min(series.count, to), isLog, found);
    }
    return withoutOutliers(found);
  }

  private takeZoom(plot: uPlot): void {
    if (plot.select.width < 6) return;
    const { left, width } = plot.select;
    this.setZoom([plot.posToVal(left, "x"), plot.posToVal(left + width, "x")]);
    plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
    this.draw();
  }

  private listen(plot: uPlot): void {
    let from = 0;
    plot.over.addEventListener("dblclick", () => this.resetZoom());
    plot.over.addEventListener("pointerdown", (event) => {
      from = event.clientX;
    });
    plot.over.addEventListener("click", (event) => {
      const axis = this.model.curves[0]?.axis;
      if (axis && Math.abs(event.clientX - from) < 6)
        this.onPick(Math.round(axis.toStep(plot.posToVal(event.offsetX, "x"))));
    });
    plot.over.addEventListener("pointerleave", () => this.tip.hide());
  }

  private tell(plot: uPlot): void {
    const { left = -1, top = -1 } = plot.cursor;
    if (left < 0) {
      this.tip.hide();
      return;
    }
    const x = plot.posToVal(left, "x");
    const rows = this.model.curves.flatMap((curve) => {
      const step = Math.round(curve.axis.toStep(x));
      const place = curve.series.at(step + 1) - 1;
      // Where a run has no numbers any more, its last one is none of that place.
      if (place < 0 || x > curve.axis.toX(curve.series.lastStep + 0.5)) return [];
      const value = curve.series.values[place] as number;
      const mean = curve.isSmooth ? (this.meanOf(curve)[place] as number) : null;
      return [
        {
          color: curve.color,
          label: curve.label,
          value: significant(mean ?? value),
          raw: mean === null ? "" : significant(value),
        },
      ];
    });
    const axes = new Set(this.model.curves.map((curve) => curve.axis));
    // Several runs are at several steps at one time.
    const step = axes.size === 1 ? Math.round((this.model.curves[0] as Curve).axis.toStep(x)) : null;
    this.tip.show(left + plot.bbox.left / devicePixelRatio, top, plot.width, xText(this.model.x, x, step), rows);
  }
}
