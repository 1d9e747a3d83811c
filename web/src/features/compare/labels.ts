import type { Facts } from "@/api/generated/types.gen";

/** What each run is called beside the others: its name; where two have one, also its folder, or when it was begun. */
export function labelsOf(runs: readonly Pick<Facts, "name" | "path" | "created">[]): string[] {
  const isAlone = (texts: readonly string[], text: string) => texts.filter((each) => each === text).length === 1;
  const names = runs.map((run) => run.name);
  const placed = runs.map((run) => `${run.name} in ${folderOf(run.path)}`);
  const begun = runs.map((run) => `${run.name}, ${momentOf(run.created)}`);
  return runs.map((run, place) => {
    if (isAlone(names, run.name)) return run.name;
    for (const texts of [placed, begun]) if (isAlone(texts, texts[place] as string)) return texts[place] as string;
    return `${run.name} (${place + 1})`;
  });
}

/** The name of the folder that a run's folder lies in. */
function folderOf(path: string): string {
  return path.split(/[/\\]/).filter(Boolean).at(-2) ?? path;
}

function momentOf(time: string): string {
  return new Date(time).toLocaleString("en", {
    day: "numeric",
    month: "short",
    timeStyle: undefined,
    hour: "2-digit",
    minute: "2-digit",
    hourCycle: "h23",
  });
}
