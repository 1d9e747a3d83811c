import type { Widget } from "@/forms/context";
import { ArchitectureWidget } from "./architecture-widget";
import { DatasetWidget } from "./dataset-widget";
import { ModelWidget } from "./model-widget";
import { PresetWidget } from "./preset-widget";

/** What is shown in the place of the usual widgets. */
export const WIDGETS: Readonly<Record<string, Widget>> = {
  "datasets[].path": DatasetWidget,
  "model.path": ModelWidget,
  "model.architecture": ArchitectureWidget,
  preset: PresetWidget,
};
