import type { DatasetOut, Facts, HardwareReport } from "@/api/generated/types.gen";

export interface Step {
  title: string;
  about: string;
  to: string;
  search?: Record<string, string>;
  isDone: boolean;
}

/** What leads to a first LoRA, and what of it is done: seen from what is there, never from what was clicked. */
export function stepsOf(
  datasets: readonly Pick<DatasetOut, "id" | "summary">[],
  runs: readonly Pick<Facts, "started" | "exports">[],
  hardware: HardwareReport["state"],
): Step[] {
  const filled = datasets.filter((each) => (each.summary?.pictures ?? 0) > 0);
  const trained = runs.some((run) => run.started !== null);
  const captioned = filled.some((each) => each.summary && each.summary.captioned === each.summary.pictures);
  return [
    {
      title: "Let Loratory look at this machine",
      about: "It says what this machine can train, and what to do where something is missing.",
      to: "/settings",
      search: { tab: "hardware" },
      isDone: hardware === "done" || trained,
    },
    {
      title: "Bring pictures",
      about: "Drop a folder anywhere in this window. Ten to thirty pictures are enough for a beginning.",
      to: "/datasets",
      isDone: filled.length > 0,
    },
    {
      title: "Give each picture a caption",
      about: "Say what is in it, and call what is new by the same word each time.",
      to: filled[0] ? `/datasets/${filled[0].id}` : "/datasets",
      isDone: captioned,
    },
    {
      title: "Train",
      about: "Guided asks four questions. The bundled demo model learns within minutes, without a graphics card.",
      to: "/train",
      isDone: trained,
    },
    {
      title: "Download your LoRA",
      about: "It is on the page of its run as soon as the training has finished.",
      to: "/runs",
      isDone: runs.some((run) => run.exports > 0),
    },
  ];
}
