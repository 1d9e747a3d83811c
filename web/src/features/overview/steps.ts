import type { LinkProps } from "@tanstack/react-router";
import type { DatasetOut, Facts, HardwareReport } from "@/api/generated/types.gen";

export interface Step {
  title: string;
  about: string;
  link: Pick<LinkProps, "to" | "params" | "search">;
  isDone: boolean;
  /** The others are enough without it. */
  isOptional?: boolean;
}

/** What leads to a first LoRA, and what of it is done: seen from what is there, never from what was clicked. */
export function stepsOf(
  datasets: readonly Pick<DatasetOut, "id" | "summary">[],
  runs: readonly Pick<Facts, "id" | "started" | "exports">[],
  hardware: HardwareReport["state"],
): Step[] {
  const filled = datasets.filter((each) => (each.summary?.pictures ?? 0) > 0);
  const captioned = filled.some((each) => each.summary && each.summary.captioned === each.summary.pictures);
  const newest = runs[0];
  return [
    {
      title: "Let Loratory look at this machine",
      about: "It says what this machine can train, and what to do where something is missing.",
      link: { to: "/settings", search: { tab: "hardware" } },
      isDone: hardware === "done",
      isOptional: true,
    },
    {
      title: "Bring pictures",
      about: "Drop a folder anywhere in this window. Ten to thirty pictures are enough for a beginning.",
      link: { to: "/datasets" },
      isDone: filled.length > 0,
    },
    {
      title: "Give each picture a caption",
      about: "Say what is in it, and call what is new by the same word each time.",
      link: filled[0] ? { to: "/datasets/$datasetId", params: { datasetId: filled[0].id } } : { to: "/datasets" },
      isDone: captioned,
    },
    {
      title: "Train",
      about: "Guided asks five questions. The bundled demo model learns within minutes, without a graphics card.",
      link: { to: "/train" },
      isDone: runs.some((run) => run.started !== null),
    },
    {
      title: "Get your LoRA file",
      about: "Its run's page has the button “Download LoRA” as soon as the training has finished.",
      link: newest ? { to: "/runs/$runId", params: { runId: newest.id } } : { to: "/runs" },
      isDone: runs.some((run) => run.exports > 0),
    },
  ];
}
