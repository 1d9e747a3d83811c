import { getRunMetrics } from "@/api/generated/sdk.gen";
import { problemOf } from "@/api/problem";
import { readFrame } from "./frame";
import { Series } from "./series";

type Line = Readonly<Record<string, unknown>>;

/**
 * The numbers of one run, outside of React: series are asked for when somebody wants them, and go on with what the
 * live events bring. Whoever draws them is called after a change; how often to draw is up to him.
 */
export class RunNumbers {
  private readonly series = new Map<string, Series>();
  private readonly asked = new Set<string>();
  /** Lines that came while an answer was on its way: it may have been made before them. */
  private readonly early: Line[] = [];
  private readonly listeners = new Set<() => void>();
  private loading = 0;
  private generation = 0;
  /** Another number whenever series came, began or went, and with each new epoch; not when they grew. */
  version = 0;
  timeOrigin: number | null = null;
  problem: Error | null = null;

  constructor(readonly runId: string) {}

  /** A series that was asked for and is there. */
  get(name: string): Series | undefined {
    return this.series.get(name);
  }

  get isLoading(): boolean {
    return this.loading > 0;
  }

  subscribe = (call: () => void): (() => void) => {
    this.listeners.add(call);
    return () => this.listeners.delete(call);
  };

  /** Ask for series that were not asked for before. */
  async want(names: readonly string[]): Promise<void> {
    const fresh = names.filter((name) => !this.asked.has(name));
    if (!fresh.length) return;
    for (const name of fresh) this.asked.add(name);
    await this.load(fresh);
  }

  /**
   * Everything anew: the run went back to an earlier step, nothing is known of what was missed, or the last try failed.
   * What is shown stays until the answer is there.
   */
  async again(): Promise<void> {
    this.generation += 1;
    this.early.length = 0;
    await this.load([...this.asked]);
  }

  /** What failed, once more. */
  retry(): void {
    if (this.problem && !this.loading) void this.again();
  }

  append(lines: readonly Line[]): void {
    if (this.loading) this.early.push(...lines);
    else this.take(lines);
    this.tell();
  }

  private async load(names: string[]): Promise<void> {
    if (!names.length) return;
    const generation = this.generation;
    this.loading += 1;
    this.version += 1;
    this.tell();
    try {
      const { data } = await getRunMetrics({
        path: { run_id: this.runId },
        query: { name: names },
        parseAs: "arrayBuffer",
      });
      if (generation !== this.generation) return;
      const frame = readFrame(data as unknown as ArrayBuffer);
      this.timeOrigin = frame.timeOrigin;
      for (const name of names) this.series.set(name, new Series());
      for (const each of frame.series) this.series.set(each.name, new Series(each.steps, each.values));
      this.problem = null;
    } catch (error) {
      if (generation !== this.generation) return;
      this.problem = problemOf(error);
    } finally {
      this.loading -= 1;
      this.version += 1;
      if (!this.loading) this.take(this.early.splice(0));
      this.tell();
    }
  }

  private take(lines: readonly Line[]): void {
    for (const line of lines) {
      const step = line.step;
      if (typeof step !== "number") continue;
      for (const [name, series] of this.series) {
        const value = line[name];
        if (value === undefined || step <= series.lastStep) continue;
        const number = typeof value === "number" ? value : Number.NaN;
        if (!series.count || (name === "epoch" && number !== series.lastValue)) this.version += 1;
        series.push(step, name === "time" ? number - (this.timeOrigin ?? number) : number);
        if (name === "time") this.timeOrigin ??= number;
      }
    }
  }

  private tell(): void {
    for (const call of this.listeners) call();
  }
}
