import { useQuery } from "@tanstack/react-query";
import { getTaskOptions } from "@/api/generated/@tanstack/react-query.gen";
import type { TaskReport } from "@/api/generated/types.gen";

const EVERY_MS = 500;

export function isOver(task: TaskReport): boolean {
  return task.state === "finished" || task.state === "failed" || task.state === "cancelled";
}

/** Follow work of the server until it has ended. The answer that began it is shown at once. */
export function useTask(begun: TaskReport | null): TaskReport | null {
  const { data } = useQuery({
    ...getTaskOptions({ path: { task_id: begun?.id ?? "" } }),
    enabled: begun !== null && !isOver(begun),
    refetchInterval: ({ state }) => (state.data && isOver(state.data) ? false : EVERY_MS),
  });
  return data ?? begun;
}
