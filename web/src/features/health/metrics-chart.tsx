import { MultiSelect, Paper, Stack, Text, Title, useComputedColorScheme } from "@mantine/core";
import { useMemo } from "react";
import type { Metric } from "@/api/generated/types.gen";
import { Chart } from "@/charts/chart";
import { ChartControls } from "@/charts/controls";
import { AXIS_SERIES, curvesOf, hasEpochs } from "@/charts/curves";
import { Legend } from "@/charts/legend";
import { grouped, seriesLabel } from "@/charts/names";
import type { RunNumbers } from "@/charts/run-numbers";
import type { ChartOptions } from "@/charts/use-chart-options";
import { useNumbers } from "@/charts/use-numbers";
import { Failed } from "@/shared/states";

interface Props {
  numbers: RunNumbers;
  metrics: readonly Metric[];
  options: ChartOptions;
  chosen: readonly string[];
  onChoose: (names: string[]) => void;
}

const MOST = 8;

/** Any of a run's numbers over its steps. */
export function MetricsChart({ numbers, metrics, options, chosen, onChoose }: Props) {
  const look = useComputedColorScheme("light");
  const version = useNumbers(numbers, [...chosen, ...AXIS_SERIES]);
  const withEpochs = hasEpochs(numbers);
  const x = options.x === "epoch" && !withEpochs ? "step" : options.x;
  // biome-ignore lint/correctness/useExhaustiveDependencies: `version` says that series came
  const curves = useMemo(() => curvesOf(numbers, chosen, x, look), [numbers, chosen, x, look, version]);
  const sources = useMemo(() => [numbers], [numbers]);
  return (
    <Paper withBorder p="md" component="section" aria-label="Numbers">
      <Stack gap="sm">
        <Title order={2} size="h5">
          Numbers
        </Title>
        <MultiSelect
          label="Shown"
          searchable
          clearable
          maxValues={MOST}
          hidePickedOptions
          placeholder={chosen.length ? undefined : "Choose numbers"}
          data={grouped(metrics.map((each) => each.name))}
          value={[...chosen]}
          onChange={onChoose}
        />
        {numbers.problem && <Failed error={numbers.problem} again={() => void numbers.again()} />}
        <Legend items={curves} />
        <Chart
          model={{
            curves,
            x,
            isLog: options.log,
            isClipped: options.clip,
            smoothing: options.smooth,
            marks: [],
            selected: null,
          }}
          sources={sources}
          height={360}
          label={chosen.length ? `Chart of ${chosen.map(seriesLabel).join(", ")}` : "Nothing is chosen"}
        />
        <ChartControls options={options} x={x} hasEpochs={withEpochs} />
        <Text size="xs" c="dimmed">
          Up to {MOST} at once. Rates have the scale on the right.
        </Text>
      </Stack>
    </Paper>
  );
}
