import { expect, test } from "vitest";
import type { Criterion } from "@/api/generated/types.gen";
import { r2Band, slopeBand, stabilityBand, variationBand } from "./bands";
import { criterionWords } from "./criteria";

test.each([
  [0.0011, "Rising"],
  [0.001, "Rising a little"],
  [0.0001, "Plateau"],
  [-0.0001, "Plateau"],
  [-0.00011, "Falling"],
])("a slope of %s is: %s", (slope, word) => expect(slopeBand(slope).word).toBe(word));

test.each([
  [0.449, "Unstable"],
  [0.45, "Near chance"],
  [0.5, "Healthy for video"],
  [0.55, "Healthy for video"],
  [0.551, "Healthy"],
  [0.71, "Very steady"],
])("a stability of %s is: %s", (share, word) => expect(stabilityBand(share).word).toBe(word));

test("rough losses and weak trends", () => {
  expect([0.01, 0.1, 0.5].map((value) => r2Band(value).word)).toEqual(["No trend", "Weak trend", "Clear trend"]);
  expect([0.1, 0.3, 0.6].map((value) => variationBand(value).word)).toEqual(["Calm", "Rough", "Very rough"]);
});

test("a falling loss that holds a phase back is nothing bad", () => {
  const slope: Criterion = { name: "loss_slope", value: -0.003, above: -0.0005, below: 0.0005, holds: false };
  const falling = criterionWords(slope);
  expect(falling.wanted).toBe("between -5.00e−4 and 5.00e−4");
  expect(falling.advice).toContain("nothing is wrong");
  expect(criterionWords({ ...slope, value: 0.003 }).advice).toContain("learning rate");
});

test("a number that is not known yet is a dash", () => {
  const words = criterionWords({ name: "loss_r2", value: null, above: 0.1, below: null, holds: false });
  expect([words.now, words.wanted]).toEqual(["–", "above 0.100"]);
});
