import { Group, Paper, Stack, Text, Title, useComputedColorScheme } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import { listRunMetricsOptions, listRunSamplesOptions } from "@/api/generated/@tanstack/react-query.gen";
import { Chart } from "@/charts/chart";
import { ChartControls } from "@/charts/controls";
import { AXIS_SERIES, curvesOf, hasEpochs, isRate } from "@/charts/curves";
import { Legend } from "@/charts/legend";
import type { RunNumbers } from "@/charts/run-numbers";
import type { ChartOptions } from "@/charts/use-chart-options";
import { useNumbers } from "@/charts/use-numbers";
import { Failed } from "@/shared/states";

interface Props {
  numbers: RunNumbers;
  options: ChartOptions;
  /** The step whose samples are shown. */
  selected: number | null;
  onPick: (step: number) => void;
}

/** Loss, validation loss and the rate; a click on it shows the samples of that step. */
export function LossChart({ numbers, options, selected, onPick }: Props) {
  const path = { path: { run_id: numbers.runId } };
  const { data: metrics } = useQuery(listRunMetricsOptions(path));
  const { data: samples } = useQuery(listRunSamplesOptions(path));
  const look = useComputedColorScheme("light");
  const names = useMemo(() => {
    const rates = metrics?.map((each) => each.name).filter(isRate) ?? [];
    const rate = rates.find((name) => name.startsWith("lr/")) ?? rates[0];
    return ["loss", "validation_loss", ...(rate ? [rate] : [])];
  }, [metrics]);
  const version = useNumbers(numbers, [...names, ...AXIS_SERIES]);
  const withEpochs = hasEpochs(numbers);
  const x = options.x === "epoch" && !withEpochs ? "step" : options.x;
  // biome-ignore lint/correctness/useExhaustiveDependencies: `version` says that series came
  const curves = useMemo(() => curvesOf(numbers, names, x, look), [numbers, names, x, look, version]);
  const sources = useMemo(() => [numbers], [numbers]);
  const isEmpty = !curves.length && !numbers.isLoading;
  const steps = samples?.steps ?? [];
  return (
    <Paper withBorder p="md" component="section" aria-label="Loss">
      <Stack gap="sm">
        <Group justify="space-between">
          <Title order={2} size="h5">
            Loss
          </Title>
          <Legend items={curves} />
        </Group>
        {numbers.problem && <Failed error={numbers.problem} again={() => void numbers.again()} />}
        <Chart
          model={{
            curves,
            x,
            isLog: options.log,
            isClipped: options.clip,
            smoothing: options.smooth,
            marks: steps,
            selected,
          }}
          sources={sources}
          height={340}
          label={isEmpty ? "No numbers yet" : "Loss, validation loss and learning rate of the run"}
          onPick={onPick}
        />
        <ChartControls options={options} x={x} hasEpochs={withEpochs} />
        <Text size="xs" c="dimmed">
          {isEmpty
            ? "The first numbers come with the first step."
            : `Drag to zoom in, double-click for all. ${steps.length ? "A click shows the samples nearest to that step; triangles mark steps with samples." : ""}`}
        </Text>
      </Stack>
    </Paper>
  );
}
