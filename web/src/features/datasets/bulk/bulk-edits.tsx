import { Alert, Button, Grid, Group, Stack } from "@mantine/core";
import { problemOf } from "@/api/problem";
import { ScopeChoice, useScope } from "../scope-choice";
import { TaskProgress } from "../task-progress";
import { isOver } from "../use-task";
import { useOperations } from "./draft";
import { EditList } from "./edit-list";
import { OperationList, OperationMenu } from "./operation-list";
import { isComplete, type Operation } from "./operations";
import { Preview } from "./preview";
import { StaleEdit } from "./stale-edit";
import { useBulkEdit } from "./use-bulk-edit";

/** Edits of many captions: what to do, every change before it is done, and the way back. */
export function BulkEdits(props: { datasetId: string; query: string; chosen: ReadonlySet<string>; total: number }) {
  const { datasetId, query, chosen } = props;
  const draft = useOperations(datasetId);
  const operations = draft.value.map((each) => each.operation);
  const { scope, setScope, asked } = useScope(query, chosen);
  const { preview, task, edit, apply, undo } = useBulkEdit(datasetId, { operations, ...asked }, draft.clear);
  const add = (operation: Operation) =>
    draft.set((before) => [...before, { id: Math.max(0, ...before.map((each) => each.id)) + 1, operation }]);
  const ready = operations.length > 0 && operations.every(isComplete);
  return (
    <Grid gap="lg">
      <Grid.Col span={{ base: 12, md: 8 }}>
        <Stack gap="md">
          <ScopeChoice
            label="Which captions"
            scope={scope}
            setScope={setScope}
            query={query}
            chosen={chosen.size}
            total={props.total}
          />
          <OperationList datasetId={datasetId} filled={draft.value} change={draft.set} />
          <Group>
            <OperationMenu add={add} />
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
          undo={(step) => undo.mutate(step.id)}
        />
      </Grid.Col>
    </Grid>
  );
}
