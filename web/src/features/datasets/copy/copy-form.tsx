import { Alert, Anchor, Button, Group, Select, Slider, Stack, Text, TextInput } from "@mantine/core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import type { FormEvent } from "react";
import { listDatasetsQueryKey } from "@/api/generated/@tanstack/react-query.gen";
import { cancelTask, copyDatasetPictures } from "@/api/generated/sdk.gen";
import type { TaskReport } from "@/api/generated/types.gen";
import { problemOf } from "@/api/problem";
import { useDraft } from "@/shared/draft";
import { ScopeChoice, useScope } from "../scope-choice";
import { TaskProgress } from "../task-progress";
import { isOver, useTask } from "../use-task";
import type { Box } from "./box";
import { CropChosen } from "./crop-chosen";
import { StepList } from "./step-list";
import { FORMATS, type Format, type Step } from "./steps";

const BEST = 95;

/** Crops, turns, mirrors, shrinks and converts pictures into a new dataset: the old one stays as it is. */
export function CopyForm(props: {
  datasetId: string;
  name: string;
  query: string;
  chosen: ReadonlySet<string>;
  total: number;
}) {
  const { datasetId, query, chosen } = props;
  const queries = useQueryClient();
  const draft = useDraft(`copy:${datasetId}`, 1, {
    name: `${props.name} copy`,
    steps: [] as Step[],
    format: "same" as Format,
    quality: BEST,
    boxes: {} as Record<string, Box>,
  });
  const { value } = draft;
  const { scope, setScope, asked } = useScope(query, chosen);
  const copy = useMutation({
    mutationFn: async () => {
      const { name, steps, format, quality } = value;
      const boxes = scope === "chosen" ? only(value.boxes, chosen) : {};
      const body = { ...asked, copy_plan: { name: name.trim(), steps, format, quality, boxes } };
      return (await copyDatasetPictures({ path: { dataset_id: datasetId }, body })).data;
    },
    onSuccess: () => queries.invalidateQueries({ queryKey: listDatasetsQueryKey() }),
    meta: { tellsItself: true },
  });
  const task = useTask(copy.data ?? null);
  const set = (to: Partial<typeof value>) => {
    copy.reset();
    draft.set((before) => ({ ...before, ...to }));
  };
  function send(event: FormEvent) {
    event.preventDefault();
    copy.mutate();
  }
  return (
    <Stack component="form" onSubmit={send} maw="46rem" gap="md">
      <Text size="sm" c="dimmed">
        A new dataset is made; this one stays as it is. Captions come along, masks are changed with their pictures.
      </Text>
      <TextInput
        label="Name of the new dataset"
        value={value.name}
        onChange={(event) => set({ name: event.currentTarget.value })}
        error={copy.error ? problemOf(copy.error).message : undefined}
        maw="24rem"
        autoComplete="off"
      />
      <ScopeChoice
        label="Which pictures"
        scope={scope}
        setScope={setScope}
        query={query}
        chosen={chosen.size}
        total={props.total}
      />
      {scope === "chosen" ? (
        <CropChosen datasetId={datasetId} items={[...chosen]} boxes={value.boxes} change={(boxes) => set({ boxes })} />
      ) : (
        <Text size="sm" c="dimmed">
          To crop pictures by hand, choose them among the pictures first.
        </Text>
      )}
      <StepList steps={value.steps} change={(steps) => set({ steps })} />
      <Group align="flex-start" gap="xl">
        <Select
          label="File type"
          data={FORMATS}
          value={value.format}
          onChange={(format) => format && set({ format: format as Format })}
          allowDeselect={false}
          w="12rem"
        />
        {(value.format === "jpg" || value.format === "webp") && (
          <Stack gap={6} w="14rem">
            <Text size="sm" fw={500}>
              Quality: {value.quality}
            </Text>
            <Slider
              thumbLabel="Quality"
              min={50}
              max={100}
              value={value.quality}
              onChange={(quality) => set({ quality })}
            />
          </Stack>
        )}
      </Group>
      <Group>
        <Button
          type="submit"
          loading={copy.isPending}
          disabled={!value.name.trim() || (task !== null && !isOver(task))}
        >
          Make the new dataset
        </Button>
      </Group>
      {task && <Outcome task={task} name={value.name} />}
    </Stack>
  );
}

function Outcome(props: { task: TaskReport; name: string }) {
  const { task } = props;
  if (!isOver(task)) {
    return (
      <TaskProgress
        task={task}
        what="Making the new dataset"
        action={
          <Button size="compact-xs" variant="default" onClick={() => void cancelTask({ path: { task_id: task.id } })}>
            Stop
          </Button>
        }
      />
    );
  }
  if (task.state === "failed") {
    return (
      <Alert color="red" title="The new dataset was not made">
        {task.error?.message}
      </Alert>
    );
  }
  if (task.state === "cancelled") {
    return (
      <Alert color="gray" title="The new dataset was not made">
        It was stopped; nothing of it is left.
      </Alert>
    );
  }
  return (
    <Alert color="green" title="The new dataset is ready">
      <Anchor
        renderRoot={(rest) => (
          <Link {...rest} to="/datasets/$datasetId" params={{ datasetId: String(task.result?.dataset) }} />
        )}
        inherit
        underline="always"
      >
        Open {props.name}
      </Anchor>
    </Alert>
  );
}

function only(boxes: Readonly<Record<string, Box>>, chosen: ReadonlySet<string>): Record<string, Box> {
  return Object.fromEntries(Object.entries(boxes).filter(([item]) => chosen.has(item)));
}
