import { useQuery } from "@tanstack/react-query";
import { getDatasetTaskOptions } from "@/api/generated/@tanstack/react-query.gen";
import type { TaskOut } from "@/api/generated/types.gen";

const EVERY_MS = 500;

export function isOver(task: TaskOut): boolean {
  return task.state === "done" || task.state === "failed" || task.state === "stopped";
}

/** Follow work on a dataset until it has ended. The answer that began it is shown at once. */
export function useDatasetTask(datasetId: string, begun: TaskOut | null): TaskOut | null {
  const { data } = useQuery({
    ...getDatasetTaskOptions({ path: { dataset_id: datasetId, task_id: begun?.id ?? "" } }),
    enabled: begun !== null && !isOver(begun),
    refetchInterval: ({ state }) => (state.data && isOver(state.data) ? false : EVERY_MS),
  });
  return data ?? begun;
}
