import type { CopyPlan } from "@/api/generated/types.gen";

export type Step = NonNullable<CopyPlan["steps"]>[number];
export type Format = NonNullable<CopyPlan["format"]>;

export const STEPS: readonly { label: string; step: Step }[] = [
  { label: "Turn 90° clockwise", step: { op: "rotate", degrees: 90 } },
  { label: "Turn 90° counterclockwise", step: { op: "rotate", degrees: 270 } },
  { label: "Turn 180°", step: { op: "rotate", degrees: 180 } },
  { label: "Mirror left and right", step: { op: "flip", axis: "horizontal" } },
  { label: "Mirror top and bottom", step: { op: "flip", axis: "vertical" } },
  { label: "Crop the middle: 1:1", step: { op: "crop", width: 1, height: 1 } },
  { label: "Crop the middle: 3:4", step: { op: "crop", width: 3, height: 4 } },
  { label: "Crop the middle: 4:3", step: { op: "crop", width: 4, height: 3 } },
  { label: "Crop the middle: 2:3", step: { op: "crop", width: 2, height: 3 } },
  { label: "Crop the middle: 16:9", step: { op: "crop", width: 16, height: 9 } },
  { label: "Shrink the longer side", step: { op: "shrink", longest_side: 2048 } },
];

export const FORMATS: { value: Format; label: string }[] = [
  { value: "same", label: "As they are" },
  { value: "jpg", label: "JPEG" },
  { value: "png", label: "PNG" },
  { value: "webp", label: "WebP" },
];

export function labelOf(step: Step): string {
  if (step.op === "crop") return `Crop the middle: ${step.width}:${step.height}`;
  if (step.op === "shrink") return "Shrink the longer side to at most";
  const found = STEPS.find((each) => JSON.stringify(each.step) === JSON.stringify(step));
  return found?.label ?? step.op;
}
