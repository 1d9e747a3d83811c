import { ActionIcon, Alert, Button, Grid, Group, Menu, Paper, Radio, Stack, Text, Title } from "@mantine/core";
import { notifications } from "@mantine/notifications";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { ChevronDown, Plus, X } from "lucide-react";
import { useEffect, useState } from "react";
import { applyPreviewedEdit, getTask, previewEdit, undoEdit } from "@/api/generated/sdk.gen";
import type { EditOut, StepOut, TaskReport } from "@/api/generated/types.gen";
import { askAgain } from "@/api/of-dataset";
import { Problem, problemOf } from "@/api/problem";
import { useDraft } from "@/shared/draft";
import { plural } from "@/shared/format";
import { TaskProgress } from "../task-progress";
import { isOver, useTask } from "../use-task";
import { EditList } from "./edit-list";
import { OperationFields } from "./operation-fields";
import { isComplete, KINDS, type Operation } from "./operations";
import { Preview } from "./preview";
import { StaleEdit } from "./stale-edit";

type Scope = "all" | "query" | "chosen";
interface Draft {
  id: number;
  operation: Operation;
}

const WAIT_MS = 300;

/** Edits of many captions: what to do, every change before it is done, and the way back. */
export function BulkEdits(props: { datasetId: string; query: string; chosen: ReadonlySet<string>; total: number }) {
  const { datasetId, query, chosen } = props;
  const path = { dataset_id: datasetId };
  const queries = useQueryClient();
  const draft = useDraft<Draft[]>(`bulk:${datasetId}`, 1, []);
  const [wanted, setScope] = useState<Scope>(chosen.size > 0 ? "chosen" : query ? "query" : "all");
  const scope = (wanted === "chosen" && chosen.size === 0) || (wanted === "query" && !query) ? "all" : wanted;
  const [begun, setBegun] = useState<EditOut | null>(null);
  const task = useTask(begun?.task ?? null);
  const operations = draft.value.map((each) => each.operation);

  const preview = useMutation({
    mutationFn: async () =>
      (
        await previewEdit({
          path,
          body: {
            operations,
            ...(scope === "chosen" ? { items: [...chosen] } : { query: scope === "query" ? query : "" }),
          },
        })
      ).data,
    onSuccess: setBegun,
    meta: { tellsItself: true },
  });
  const apply = useMutation({
    mutationFn: async (asked: { edit: string; skipChanged: boolean }) =>
      ended(
        (
          await applyPreviewedEdit({
            path: { ...path, step_id: asked.edit },
            body: { skip_changed: asked.skipChanged },
          })
        ).data.task,
      ),
    onSuccess: async (_, { edit }) => {
      setBegun(null);
      draft.clear();
      await askAgain(queries, datasetId);
      const toast = notifications.show({
        title: "Captions were changed",
        autoClose: 10_000,
        message: (
          <Button
            size="compact-sm"
            variant="light"
            onClick={() => {
              notifications.hide(toast);
              undo.mutate(edit);
            }}
          >
            Undo
          </Button>
        ),
      });
    },
    meta: { tellsItself: true },
  });
  const undo = useMutation({
    mutationFn: async (edit: string) =>
      ended((await undoEdit({ path: { ...path, step_id: edit }, body: {} })).data.task),
    onSuccess: () => askAgain(queries, datasetId),
    meta: { tellsItself: true },
  });
  // A preview is of the operations as they were: another one is asked for after a change.
  const said = JSON.stringify([
    operations,
    scope,
    scope === "query" ? query : "",
    scope === "chosen" ? [...chosen] : [],
  ]);
  // biome-ignore lint/correctness/useExhaustiveDependencies: what is compared is what was asked for
  useEffect(() => {
    setBegun(null);
    preview.reset();
    apply.reset();
  }, [said]);

  const add = (operation: Operation) =>
    draft.set((before) => [...before, { id: Math.max(0, ...before.map((each) => each.id)) + 1, operation }]);
  const edit = task?.state === "finished" ? (begun?.edit?.id ?? idOf(task)) : null;
  const ready = operations.length > 0 && operations.every(isComplete);
  return (
    <Grid gap="lg">
      <Grid.Col span={{ base: 12, md: 8 }}>
        <Stack gap="md">
          <Radio.Group value={scope} onChange={(value) => setScope(value as Scope)} label="Which captions">
            <Group mt={6}>
              <Radio value="all" label={`All ${plural(props.total, "picture")}`} />
              <Radio
                value="query"
                label={query ? `Those found by ${query}` : "Those a search finds"}
                disabled={!query}
              />
              <Radio
                value="chosen"
                label={`The ${plural(chosen.size, "chosen picture")}`}
                disabled={chosen.size === 0}
              />
            </Group>
          </Radio.Group>
          {draft.value.map(({ id, operation }, place) => {
            const kind = KINDS.find((each) => each.op === operation.op);
            return (
              <Paper key={id} withBorder p="md" component="section" aria-label={kind?.label}>
                <Group justify="space-between" mb="xs" wrap="nowrap" align="flex-start">
                  <Stack gap={0}>
                    <Title order={2} size="h6">
                      {draft.value.length > 1 && `${place + 1}. `}
                      {kind?.label}
                    </Title>
                    <Text size="xs" c="dimmed">
                      {kind?.about}
                    </Text>
                  </Stack>
                  <ActionIcon
                    variant="subtle"
                    color="gray"
                    aria-label={`Leave out: ${kind?.label}`}
                    onClick={() => draft.set((before) => before.filter((each) => each.id !== id))}
                  >
                    <X size={16} aria-hidden />
                  </ActionIcon>
                </Group>
                <OperationFields
                  datasetId={datasetId}
                  operation={operation}
                  change={(changed) =>
                    draft.set((before) => before.map((each) => (each.id === id ? { id, operation: changed } : each)))
                  }
                />
              </Paper>
            );
          })}
          <Group>
            <Menu position="bottom-start" width={320}>
              <Menu.Target>
                <Button
                  variant="default"
                  leftSection={<Plus size={16} aria-hidden />}
                  rightSection={<ChevronDown size={14} aria-hidden />}
                >
                  Add an operation
                </Button>
              </Menu.Target>
              <Menu.Dropdown mah="60dvh" style={{ overflowY: "auto" }}>
                {KINDS.map((kind) => (
                  <Menu.Item key={kind.op} onClick={() => add(kind.start)}>
                    <Text size="sm">{kind.label}</Text>
                    <Text size="xs" c="dimmed">
                      {kind.about}
                    </Text>
                  </Menu.Item>
                ))}
              </Menu.Dropdown>
            </Menu>
            <Button onClick={() => preview.mutate()} loading={preview.isPending} disabled={!ready}>
              Show every change
            </Button>
          </Group>
          {preview.error && (
            <Alert color="red" title="This cannot be worked out">
              {problemOf(preview.error).message}
            </Alert>
          )}
          {task && !isOver(task) && <TaskProgress task={task} what="Working out every change" />}
          {task?.state === "failed" && (
            <Alert color="red" title="This cannot be worked out">
              {task.error?.message}
            </Alert>
          )}
          {edit && (
            <Preview
              datasetId={datasetId}
              edit={edit}
              isPending={apply.isPending}
              apply={() => apply.mutate({ edit, skipChanged: false })}
            />
          )}
          {apply.error && edit && (
            <StaleEdit
              error={apply.error}
              isPending={apply.isPending}
              skip={() => apply.mutate({ edit, skipChanged: true })}
              again={() => preview.mutate()}
            />
          )}
        </Stack>
      </Grid.Col>
      <Grid.Col span={{ base: 12, md: 4 }}>
        {undo.error && (
          <Alert color="red" title="This was not undone" mb="xs">
            {problemOf(undo.error).message}
          </Alert>
        )}
        <EditList
          datasetId={datasetId}
          busy={undo.isPending ? undo.variables : null}
          undo={(step: StepOut) => undo.mutate(step.id)}
        />
      </Grid.Col>
    </Grid>
  );
}

/** Waits for work to end. Raises what it ended with. */
async function ended(begun: TaskReport): Promise<TaskReport> {
  let task = begun;
  while (!isOver(task)) {
    await new Promise((resolve) => setTimeout(resolve, WAIT_MS));
    task = (await getTask({ path: { task_id: task.id } })).data;
  }
  if (task.state !== "finished")
    throw new Problem(422, task.error?.code ?? "task", task.error?.message ?? "It was stopped; nothing was changed.");
  return task;
}

/** The edit that a finished task has worked out. */
function idOf(task: TaskReport): string | null {
  const id = task.result?.id;
  return typeof id === "string" ? id : null;
}
