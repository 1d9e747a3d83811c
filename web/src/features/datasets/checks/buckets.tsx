import { Alert, Grid, NumberInput, Paper, Select, SimpleGrid, Stack, Text } from "@mantine/core";
import { useDebouncedValue } from "@mantine/hooks";
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { previewBucketsOptions } from "@/api/generated/@tanstack/react-query.gen";
import type { PreviewBucketsData } from "@/api/generated/types.gen";
import { problemOf } from "@/api/problem";
import { useDraft } from "@/shared/draft";
import { count, plural } from "@/shared/format";
import { CardSkeletons } from "@/shared/skeletons";
import { Failed } from "@/shared/states";
import { Bars } from "./bars";
import { CropPreview } from "./crop-preview";

type Mode = NonNullable<NonNullable<PreviewBucketsData["query"]>["mode"]>;

const MODES: { value: Mode; label: string }[] = [
  { value: "upscale", label: "Enlarge small pictures" },
  { value: "no_upscale", label: "Never enlarge" },
  { value: "aitoolkit", label: "As ai-toolkit does" },
  { value: "off", label: "One size for all" },
];
const RESOLUTIONS = ["512", "768", "1024", "1280", "1536", "2048"];
const SHOWN = 60;
const LATER_MS = 300;

/** Into which shapes training cuts the pictures, and what is lost by it. */
export function Buckets(props: { datasetId: string; query: string; open: (item: string) => void }) {
  const draft = useDraft(`buckets:${props.datasetId}`, 1, {
    side: 1024,
    mode: "upscale" as Mode,
    step: 64,
    minimum: 256,
    batch: 1,
  });
  const [asked] = useDebouncedValue(draft.value, LATER_MS);
  const { data, error, isPending, refetch } = useQuery({
    ...previewBucketsOptions({
      path: { dataset_id: props.datasetId },
      query: {
        query: props.query,
        width: asked.side,
        height: asked.side,
        mode: asked.mode,
        step: asked.step,
        minimum: asked.minimum,
        batch_size: asked.batch,
        limit: SHOWN,
      },
    }),
    placeholderData: keepPreviousData,
  });
  const set = (to: Partial<typeof draft.value>) => draft.set((before) => ({ ...before, ...to }));
  return (
    <Grid gap="lg">
      <Grid.Col span={{ base: 12, sm: 4, lg: 3 }}>
        <Stack gap="sm">
          <Select
            label="Resolution"
            description="As in the training"
            data={RESOLUTIONS}
            value={String(draft.value.side)}
            onChange={(value) => value && set({ side: Number(value) })}
            allowDeselect={false}
          />
          <Select
            label="Buckets"
            data={MODES}
            value={draft.value.mode}
            onChange={(value) => value && set({ mode: value as Mode })}
            allowDeselect={false}
          />
          <NumberInput
            label="Step"
            description="Sides are multiples of it"
            min={8}
            max={512}
            step={8}
            value={draft.value.step}
            onChange={(value) => typeof value === "number" && value >= 8 && set({ step: value })}
          />
          <NumberInput
            label="Smallest side"
            min={16}
            max={8192}
            step={64}
            value={draft.value.minimum}
            onChange={(value) => typeof value === "number" && value >= 16 && set({ minimum: value })}
          />
          <NumberInput
            label="Batch size"
            min={1}
            max={4096}
            value={draft.value.batch}
            onChange={(value) => typeof value === "number" && value >= 1 && set({ batch: value })}
          />
        </Stack>
      </Grid.Col>
      <Grid.Col span={{ base: 12, sm: 8, lg: 9 }}>
        {isPending ? (
          <CardSkeletons what="the buckets" cards={1} height={320} cols={1} />
        ) : error ? (
          problemOf(error).status === 422 ? (
            <Alert color="orange" title="There are no buckets for this">
              {problemOf(error).message}
            </Alert>
          ) : (
            <Failed error={error} again={refetch} />
          )
        ) : (
          <Stack gap="md">
            <Text size="sm" className="numbers" aria-live="polite">
              {plural(data.total, "picture")} in {plural(data.buckets.length, "bucket")},{" "}
              {plural(data.batches_per_epoch, "batch", "batches")} an epoch. {count(data.cropped)} are cropped,{" "}
              {count(data.enlarged)} enlarged, {count(data.dropped)} left out.
            </Text>
            <Paper withBorder p="md">
              <Bars
                title="Buckets"
                about="Width × height, and how many pictures"
                bars={data.buckets.map((bucket) => ({
                  key: `${bucket.width} ${bucket.height}`,
                  label: `${bucket.width} × ${bucket.height}`,
                  count: bucket.pictures,
                }))}
              />
            </Paper>
            <Text size="sm" c="dimmed">
              Those that lose most come first. What lies outside of the frame is cut off.
            </Text>
            <SimpleGrid cols={{ base: 2, xs: 3, lg: 4, xl: 5 }}>
              {data.pictures.map((placed) => (
                <CropPreview key={placed.item} datasetId={props.datasetId} placed={placed} open={props.open} />
              ))}
            </SimpleGrid>
          </Stack>
        )}
      </Grid.Col>
    </Grid>
  );
}
