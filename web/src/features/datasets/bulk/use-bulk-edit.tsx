import { Button } from "@mantine/core";
import { notifications } from "@mantine/notifications";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { applyPreviewedEdit, getTask, previewEdit, undoEdit } from "@/api/generated/sdk.gen";
import type { EditAsked, EditOut, TaskReport } from "@/api/generated/types.gen";
import { askAgain } from "@/api/of-dataset";
import { Problem } from "@/api/problem";
import { isOver, useTask } from "../use-task";

const WAIT_MS = 300;

/** An edit of many captions: worked out, carried out, taken back. `applied` is called when it was carried out. */
export function useBulkEdit(datasetId: string, asked: EditAsked, applied: () => void) {
  const path = { dataset_id: datasetId };
  const queries = useQueryClient();
  const [begun, setBegun] = useState<EditOut | null>(null);
  const task = useTask(begun?.task ?? null);
  const preview = useMutation({
    mutationFn: async () => (await previewEdit({ path, body: asked })).data,
    onSuccess: setBegun,
    meta: { tellsItself: true },
  });
  const undo = useMutation({
    mutationFn: async (edit: string) =>
      ended((await undoEdit({ path: { ...path, step_id: edit }, body: {} })).data.task),
    onSettled: () => askAgain(queries, datasetId),
    meta: { tellsItself: true },
  });
  const apply = useMutation({
    mutationFn: async (wanted: { edit: string; skipChanged: boolean }) =>
      ended(
        (
          await applyPreviewedEdit({
            path: { ...path, step_id: wanted.edit },
            body: { skip_changed: wanted.skipChanged },
          })
        ).data.task,
      ),
    onSuccess: async (_, { edit }) => {
      setBegun(null);
      applied();
      await askAgain(queries, datasetId);
      offerUndo(() => undo.mutate(edit));
    },
    meta: { tellsItself: true },
  });
  // A preview is of what was asked for: after a change another one is asked for.
  const said = JSON.stringify(asked);
  // biome-ignore lint/correctness/useExhaustiveDependencies: what is compared is what was asked for
  useEffect(() => {
    setBegun(null);
    preview.reset();
    apply.reset();
  }, [said]);
  const edit = task?.state === "finished" ? (begun?.edit?.id ?? idOf(task)) : null;
  return { preview, task, edit, apply, undo };
}

function offerUndo(undo: () => void): void {
  const toast = notifications.show({
    title: "Captions were changed",
    autoClose: 10_000,
    message: (
      <Button
        size="compact-sm"
        variant="light"
        onClick={() => {
          notifications.hide(toast);
          undo();
        }}
      >
        Undo
      </Button>
    ),
  });
}

/** Waits for work to end. Raises what it ended with. */
async function ended(begun: TaskReport): Promise<TaskReport> {
  let task = begun;
  while (!isOver(task)) {
    await new Promise((resolve) => setTimeout(resolve, WAIT_MS));
    task = (await getTask({ path: { task_id: task.id } })).data;
  }
  if (task.state === "finished") return task;
  const message = task.error?.message ?? "It was stopped; nothing was changed.";
  throw new Problem(422, task.error?.code ?? "task", message);
}

/** The edit that a finished task has worked out. */
function idOf(task: TaskReport): string | null {
  const id = task.result?.id;
  return typeof id === "string" ? id : null;
}
