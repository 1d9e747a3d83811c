import {
  ActionIcon,
  Alert,
  Anchor,
  Button,
  Group,
  NumberInput,
  Paper,
  Radio,
  Select,
  Slider,
  Stack,
  Text,
  TextInput,
} from "@mantine/core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { ArrowDown, ArrowUp, X } from "lucide-react";
import { type FormEvent, useState } from "react";
import { listDatasetsQueryKey } from "@/api/generated/@tanstack/react-query.gen";
import { cancelTask, copyDatasetPictures } from "@/api/generated/sdk.gen";
import type { CopyPlan } from "@/api/generated/types.gen";
import { problemOf } from "@/api/problem";
import { useDraft } from "@/shared/draft";
import { plural } from "@/shared/format";
import { TaskProgress } from "../task-progress";
import { isOver, useTask } from "../use-task";
import type { Box } from "./box";
import { CropChosen } from "./crop-chosen";

type Step = NonNullable<CopyPlan["steps"]>[number];
type Format = NonNullable<CopyPlan["format"]>;

const STEPS: { label: string; step: Step }[] = [
  { label: "Turn 90° clockwise", step: { op: "rotate", degrees: 90 } },
  { label: "Turn 90° counterclockwise", step: { op: "rotate", degrees: 270 } },
  { label: "Turn 180°", step: { op: "rotate", degrees: 180 } },
  { label: "Mirror left and right", step: { op: "flip", axis: "horizontal" } },
  { label: "Mirror top and bottom", step: { op: "flip", axis: "vertical" } },
  { label: "Crop the middle: 1:1", step: { op: "crop", width: 1, height: 1 } },
  { label: "Crop the middle: 3:4", step: { op: "crop", width: 3, height: 4 } },
  { label: "Crop the middle: 4:3", step: { op: "crop", width: 4, height: 3 } },
  { label: "Crop the middle: 2:3", step: { op: "crop", width: 2, height: 3 } },
  { label: "Crop the middle: 16:9", step: { op: "crop", width: 16, height: 9 } },
  { label: "Shrink the longer side", step: { op: "shrink", longest_side: 2048 } },
];
const FORMATS: { value: Format; label: string }[] = [
  { value: "same", label: "As they are" },
  { value: "jpg", label: "JPEG" },
  { value: "png", label: "PNG" },
  { value: "webp", label: "WebP" },
];
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
  const [wanted, setScope] = useState<"all" | "query" | "chosen">(chosen.size > 0 ? "chosen" : query ? "query" : "all");
  const scope = (wanted === "chosen" && chosen.size === 0) || (wanted === "query" && !query) ? "all" : wanted;
  const copy = useMutation({
    mutationFn: async () =>
      (
        await copyDatasetPictures({
          path: { dataset_id: datasetId },
          body: {
            ...(scope === "chosen" ? { items: [...chosen] } : { query: scope === "query" ? query : "" }),
            copy_plan: {
              name: value.name.trim(),
              steps: value.steps,
              format: value.format,
              quality: value.quality,
              boxes: scope === "chosen" ? only(value.boxes, chosen) : {},
            },
          },
        })
      ).data,
    onSuccess: () => queries.invalidateQueries({ queryKey: listDatasetsQueryKey() }),
    meta: { tellsItself: true },
  });
  const task = useTask(copy.data ?? null);
  const set = (to: Partial<typeof value>) => {
    copy.reset();
    draft.set((before) => ({ ...before, ...to }));
  };
  function move(place: number, by: number) {
    const steps = [...value.steps];
    const [step] = steps.splice(place, 1);
    if (step) steps.splice(place + by, 0, step);
    set({ steps });
  }
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
      <Radio.Group value={scope} onChange={(to) => setScope(to as typeof wanted)} label="Which pictures">
        <Group mt={6}>
          <Radio value="all" label={`All ${plural(props.total, "picture")}`} />
          <Radio value="query" label={query ? `Those found by ${query}` : "Those a search finds"} disabled={!query} />
          <Radio value="chosen" label={`The ${plural(chosen.size, "chosen picture")}`} disabled={chosen.size === 0} />
        </Group>
      </Radio.Group>
      {scope === "chosen" && (
        <CropChosen datasetId={datasetId} items={[...chosen]} boxes={value.boxes} change={(boxes) => set({ boxes })} />
      )}
      <Stack gap="xs" component="section" aria-label="Steps">
        <Select
          label="Add a step"
          description="Done one after the other, from top to bottom"
          placeholder="Turn, mirror, crop or shrink"
          data={STEPS.map((each) => each.label)}
          value={null}
          onChange={(label) => {
            const found = STEPS.find((each) => each.label === label);
            if (found) set({ steps: [...value.steps, found.step] });
          }}
          maw="24rem"
        />
        {value.steps.map((step, place) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: the same step may be there twice, its place is what it is
          <Paper key={place} withBorder p="xs">
            <Group justify="space-between" wrap="nowrap">
              <Group gap="sm">
                <Text size="sm" className="numbers">
                  {place + 1}. {labelOf(step)}
                </Text>
                {step.op === "shrink" && (
                  <NumberInput
                    size="xs"
                    aria-label="Longest side in pixels"
                    min={8}
                    max={65536}
                    step={64}
                    w="7rem"
                    value={step.longest_side}
                    onChange={(side) =>
                      typeof side === "number" &&
                      side >= 8 &&
                      set({
                        steps: value.steps.map((each, at) => (at === place ? { ...step, longest_side: side } : each)),
                      })
                    }
                  />
                )}
              </Group>
              <Group gap={4} wrap="nowrap">
                <ActionIcon
                  variant="subtle"
                  color="gray"
                  aria-label="Earlier"
                  disabled={place === 0}
                  onClick={() => move(place, -1)}
                >
                  <ArrowUp size={14} aria-hidden />
                </ActionIcon>
                <ActionIcon
                  variant="subtle"
                  color="gray"
                  aria-label="Later"
                  disabled={place === value.steps.length - 1}
                  onClick={() => move(place, 1)}
                >
                  <ArrowDown size={14} aria-hidden />
                </ActionIcon>
                <ActionIcon
                  variant="subtle"
                  color="gray"
                  aria-label="Remove this step"
                  onClick={() => set({ steps: value.steps.filter((_, at) => at !== place) })}
                >
                  <X size={14} aria-hidden />
                </ActionIcon>
              </Group>
            </Group>
          </Paper>
        ))}
      </Stack>
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
            <Text size="sm" fw={500} id="quality">
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
      {task && !isOver(task) && (
        <TaskProgress
          task={task}
          what="Making the new dataset"
          action={
            <Button size="compact-xs" variant="default" onClick={() => void cancelTask({ path: { task_id: task.id } })}>
              Stop
            </Button>
          }
        />
      )}
      {task?.state === "failed" && (
        <Alert color="red" title="The new dataset was not made">
          {task.error?.message}
        </Alert>
      )}
      {task?.state === "finished" && task.result && (
        <Alert color="green" title="The new dataset is ready">
          <Anchor
            renderRoot={(rest) => (
              <Link {...rest} to="/datasets/$datasetId" params={{ datasetId: String(task.result?.dataset) }} />
            )}
            inherit
          >
            Open {value.name}
          </Anchor>
        </Alert>
      )}
    </Stack>
  );
}

function labelOf(step: Step): string {
  if (step.op === "crop") return `Crop the middle: ${step.width}:${step.height}`;
  if (step.op === "shrink") return "Shrink the longer side to at most";
  const found = STEPS.find((each) => JSON.stringify(each.step) === JSON.stringify(step));
  return found?.label ?? step.op;
}

function only(boxes: Readonly<Record<string, Box>>, chosen: ReadonlySet<string>): Record<string, Box> {
  return Object.fromEntries(Object.entries(boxes).filter(([item]) => chosen.has(item)));
}
