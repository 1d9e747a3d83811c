/** Numbers by step that grow at their end, without a new array for each one. What is not finite is NaN. */
export class Series {
  steps: Float64Array;
  values: Float64Array;
  count: number;

  constructor(steps: ArrayLike<number> = [], values: ArrayLike<number> = []) {
    this.steps = Float64Array.from(steps);
    this.values = Float64Array.from(values);
    this.count = this.steps.length;
  }

  get lastStep(): number {
    return this.count ? (this.steps[this.count - 1] as number) : -1;
  }

  get lastValue(): number | null {
    const value = this.count ? (this.values[this.count - 1] as number) : Number.NaN;
    return Number.isFinite(value) ? value : null;
  }

  push(step: number, value: number): void {
    if (this.count === this.steps.length) {
      const room = Math.max(1024, 2 * this.count);
      this.steps = grown(this.steps, room);
      this.values = grown(this.values, room);
    }
    this.steps[this.count] = step;
    this.values[this.count] = value;
    this.count += 1;
  }

  /** Where the first step that is not before this one stands; `count` where there is none. */
  at(step: number): number {
    let low = 0;
    let high = this.count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.steps[middle] as number) < step) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** The value at a step or the newest before it. */
  valueAt(step: number): number | null {
    const found = this.at(step + 1) - 1;
    const value = found < 0 ? Number.NaN : (this.values[found] as number);
    return Number.isFinite(value) ? value : null;
  }
}

export function grown(array: Float64Array, room: number): Float64Array {
  const larger = new Float64Array(room);
  larger.set(array);
  return larger;
}
