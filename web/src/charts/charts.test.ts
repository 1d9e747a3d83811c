import { expect, test, vi } from "vitest";
import { byTime, stepsPerEpoch } from "./axis";
import { readFrame } from "./frame";
import { alike } from "./plot-axes";
import { padded, quantile, widest, withoutOutliers } from "./range";
import { RunNumbers } from "./run-numbers";
import { Series } from "./series";
import { Smoothed } from "./smoothing";
import { table } from "./table";
import { thinned } from "./thin";

const getRunMetrics = vi.hoisted(() => vi.fn());
vi.mock("@/api/generated/sdk.gen", () => ({ getRunMetrics }));

/** A frame as the server writes it: the length, JSON padded with spaces, then steps and values of each series. */
function frame(series: Record<string, [number[], number[]]>, more = {}): ArrayBuffer {
  let offset = 0;
  const told = Object.entries(series).map(([name, [steps]]) => {
    const each = { name, count: steps.length, total: 2 * steps.length, offset };
    offset += 8 * steps.length;
    return each;
  });
  let text = JSON.stringify({ version: 1, cursor: "c", time_origin: 5.5, series: told, ...more });
  text += " ".repeat((4 - (text.length % 4)) % 4);
  const buffer = new ArrayBuffer(4 + text.length + offset);
  new DataView(buffer).setUint32(0, text.length, true);
  new Uint8Array(buffer).set(new TextEncoder().encode(text), 4);
  let at = 4 + text.length;
  for (const [steps, values] of Object.values(series)) {
    new Uint32Array(buffer, at, steps.length).set(steps);
    at += 4 * steps.length;
    new Float32Array(buffer, at, values.length).set(values);
    at += 4 * values.length;
  }
  return buffer;
}

test("a frame gives each series its own steps", () => {
  const found = readFrame(
    frame({
      loss: [
        [1, 2, 4_000_000_000],
        [0.5, Number.NaN, -2],
      ],
      validation_loss: [[2], [0.25]],
    }),
  );
  expect([found.cursor, found.timeOrigin]).toEqual(["c", 5.5]);
  expect(found.series.map((each) => [each.name, each.total, [...each.steps], [...each.values]])).toEqual([
    ["loss", 6, [1, 2, 4_000_000_000], [0.5, Number.NaN, -2]],
    ["validation_loss", 2, [2], [0.25]],
  ]);
});

test("a frame that was cut, or of another version, is refused", () => {
  const whole = frame({ loss: [[1], [1]] });
  expect(() => readFrame(whole.slice(0, 2))).toThrow("cut off");
  expect(() => readFrame(whole.slice(0, 20))).toThrow("cut off");
  expect(() => readFrame(whole.slice(0, whole.byteLength - 4))).toThrow();
  expect(() => readFrame(frame({}, { version: 2 }))).toThrow("newer");
});

test("the running mean is not pulled towards zero, and leaves out what is not a number", () => {
  const series = new Series([1, 2, 3, 4], [4, 8, Number.NaN, 2]);
  // By hand, weight 0.5: 2/0.5 = 4; (1 + 4)/0.75 = 20/3; nothing; (2.5 + 1)/0.875 = 4.
  const smoothed = new Smoothed(series, 0.5);
  expect([...smoothed.update()]).toEqual([4, 20 / 3, Number.NaN, 4]);
  // It goes on where it was: (1.75 + 3)/0.9375.
  series.push(5, 6);
  expect(smoothed.update()[4]).toBeCloseTo(4.75 / 0.9375, 12);
});

test("without smoothing the mean is the value", () => {
  expect([...new Smoothed(new Series([1, 2], [3, 7]), 0).update()]).toEqual([3, 7]);
});

test("outliers are left out, and only those", () => {
  const even = Array.from({ length: 101 }, (_, index) => index / 100);
  expect(withoutOutliers([...even])).toEqual([0, 1]);
  const [low, high] = withoutOutliers([...even, 50]) as [number, number];
  expect(low).toBe(0);
  // 2nd to 98th percentile of 102 values: 0.0202 to 0.9898; half of that span more.
  expect(high).toBeCloseTo(0.9898 + 0.9696 / 2, 4);
  expect(withoutOutliers([])).toBeNull();
  expect(quantile([1, 2, 4], 0.75)).toBe(3);
  expect(padded([2, 2], false)).toEqual([1.8, 2.2]);
  expect(padded([2, 2], true)).toEqual([1, 4]);
});

test("thinning keeps the peaks, and one point beyond the picture", () => {
  const values = Array.from({ length: 1000 }, (_, index) => (index === 500 ? 99 : index === 501 ? -99 : 1));
  const series = new Series(
    values.map((_, index) => index),
    values,
  );
  const found = thinned(series, series.values, 100, 900, 10);
  expect(found.values).toContain(99);
  expect(found.values).toContain(-99);
  expect(found.values.indexOf(99)).toBeLessThan(found.values.indexOf(-99));
  expect(found.steps.length).toBeLessThanOrEqual(20);
  expect(thinned(series, series.values, 10, 12, 10).steps).toEqual([9, 10, 11, 12]);
});

test("lines with steps of their own share one table", () => {
  const points = (steps: number[], values: number[]) => ({ steps, values });
  const a = points([1, 2, 4], [10, 20, 40]);
  const b = points([2, 3], [200, 300]);
  expect(table([a, b], [a.steps, b.steps])).toEqual([
    [1, 2, 3, 4],
    [10, 20, null, 40],
    [null, 200, 300, null],
  ]);
});

test("steps and times go there and back", () => {
  const axis = byTime(new Series([0, 10, 20], [100, 110, 150]));
  expect([0, 5, 10, 15, 99].map(axis.toX)).toEqual([0, 5, 10, 30, 50]);
  expect([0, 5, 30, 50].map(axis.toStep)).toEqual([0, 5, 15, 20]);
});

test("numbers that come on a page that was opened before the first step are drawn", async () => {
  const numbers = new RunNumbers("x");
  getRunMetrics.mockResolvedValueOnce({ data: frame({}) });
  await numbers.want(["loss", "epoch"]);
  const before = numbers.version;
  numbers.append([{ step: 1, loss: 0.5, epoch: 1 }]);
  const begun = numbers.version;
  expect(begun).not.toBe(before);
  numbers.append([{ step: 2, loss: 0.4, epoch: 1 }]);
  expect(numbers.version).toBe(begun);
  numbers.append([{ step: 3, loss: 0.3, epoch: 2 }]);
  expect(numbers.version).not.toBe(begun);
  expect([...(numbers.get("loss") as Series).values.slice(0, 3)]).toEqual([0.5, 0.4, 0.3]);
});

test("numbers that could not be had are had by another try, with what came meanwhile", async () => {
  const numbers = new RunNumbers("x");
  getRunMetrics.mockRejectedValueOnce(new TypeError("Failed to fetch"));
  await numbers.want(["loss"]);
  expect(numbers.problem?.message).toContain("cannot be reached");
  getRunMetrics.mockResolvedValueOnce({
    data: frame({
      loss: [
        [1, 2],
        [0.5, 0.25],
      ],
    }),
  });
  numbers.retry();
  numbers.append([
    { step: 2, loss: 9 },
    { step: 3, loss: 0.125 },
  ]);
  await vi.waitFor(() => expect(numbers.isLoading).toBe(false));
  expect(numbers.problem).toBeNull();
  expect([...(numbers.get("loss") as Series).values.slice(0, 3)]).toEqual([0.5, 0.25, 0.125]);
});

test("how many steps an epoch has is known from the second on", () => {
  expect(stepsPerEpoch(new Series([1, 2, 3], [1, 1, 1]))).toBeNull();
  expect(stepsPerEpoch(new Series([1, 2, 3, 4, 5], [1, 1, 2, 2, 3]))).toBe(2);
});

test("the numbers of an axis have one form", () => {
  expect(alike([0, 0.0005, 0.001, 0.0015])).toEqual(["0", "0.5e−3", "1.0e−3", "1.5e−3"]);
  expect(alike([0.25, 0.5, 0.75, 1])).toEqual(["0.25", "0.50", "0.75", "1.00"]);
  expect(alike([0.4, 0.6, 0.8])).toEqual(["0.4", "0.6", "0.8"]);
  expect(alike([100, 200])).toEqual(["100", "200"]);
});

test("a range holds every value, and on a logarithmic axis those above zero", () => {
  expect(widest([3, -1, 2], false)).toEqual([-1, 3]);
  expect(widest([3, -1, 2], true)).toEqual([2, 3]);
  expect(widest([-1], true)).toBeNull();
});
