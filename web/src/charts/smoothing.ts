import { grown, type Series } from "./series";

/**
 * The running mean of a series, as TensorBoard draws it: mean = weight × mean + (1 − weight) × value, divided by
 * 1 − weightⁿ so that the first values are not pulled towards zero. It follows a series that grows, at its end only.
 */
export class Smoothed {
  values: Float64Array = new Float64Array(0);
  private count = 0;
  private mean = 0;
  /** weightⁿ of the n finite values so far. */
  private bias = 1;

  constructor(
    readonly series: Series,
    readonly weight: number,
  ) {}

  update(): Float64Array {
    const { series, weight } = this;
    if (this.values.length < series.count) this.values = grown(this.values, series.values.length);
    for (let index = this.count; index < series.count; index += 1) {
      const value = series.values[index] as number;
      if (Number.isFinite(value)) {
        this.mean = weight * this.mean + (1 - weight) * value;
        this.bias *= weight;
        this.values[index] = this.mean / (1 - this.bias);
      } else {
        this.values[index] = Number.NaN;
      }
    }
    this.count = series.count;
    return this.values;
  }
}
