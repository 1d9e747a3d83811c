import { Group, Paper, Select, Stack, Text, Title, useComputedColorScheme } from "@mantine/core";
import { useQueries } from "@tanstack/react-query";
import { useEffect, useMemo, useReducer } from "react";
import { listRunMetricsOptions } from "@/api/generated/@tanstack/react-query.gen";
import { Chart } from "@/charts/chart";
import { ChartControls } from "@/charts/controls";
import { AXIS_SERIES, curvesOf, hasEpochs } from "@/charts/curves";
import { Legend } from "@/charts/legend";
import { useRetry } from "@/charts/live-numbers";
import { grouped, seriesLabel } from "@/charts/names";
import type { ChartOptions } from "@/charts/use-chart-options";
import { Failed } from "@/shared/states";
import type { ComparedRun } from "./compared";

interface Props {
  runs: readonly ComparedRun[];
  options: ChartOptions;
  name: string;
  onName: (name: string) => void;
  /** The step whose samples are shown. */
  selected: number | null;
  onPick: (step: number) => void;
}

/** One number of several runs, a line for each. */
export function CompareChart({ runs, options, name, onName, selected, onPick }: Props) {
  const look = useComputedColorScheme("light");
  const numbers = useMemo(() => runs.map((run) => run.numbers), [runs]);
  useRetry(numbers);
  const [version, come] = useReducer((before: number) => before + 1, 0);
  useEffect(() => {
    let seen = numbers.map((each) => each.version).join();
    const look = () => {
      const now = numbers.map((each) => each.version).join();
      if (now !== seen) come();
      seen = now;
    };
    const ends = numbers.map((each) => each.subscribe(look));
    for (const each of numbers) void each.want([name, ...AXIS_SERIES]);
    return () => {
      for (const end of ends) end();
    };
  }, [numbers, name]);
  const found = useQueries({ queries: runs.map((run) => listRunMetricsOptions({ path: { run_id: run.id } })) });
  const known = [...new Set(["loss", name, ...found.flatMap((each) => each.data?.map(({ name }) => name) ?? [])])];
  const isLoading = numbers.some((each) => each.isLoading);
  const withEpochs = numbers.some(hasEpochs);
  const x = options.x === "epoch" && !withEpochs && !isLoading ? "step" : options.x;
  // biome-ignore lint/correctness/useExhaustiveDependencies: `version` says that series came
  const curves = useMemo(
    () =>
      runs.flatMap((run) =>
        curvesOf(run.numbers, [name], x, look).map((each) => ({
          ...each,
          key: run.id,
          label: run.label,
          color: run.color,
          scale: "y" as const,
          dash: undefined,
        })),
      ),
    [runs, name, x, look, version],
  );
  const missing = isLoading ? [] : runs.filter((run) => !curves.some((each) => each.key === run.id));
  const problem = numbers.find((each) => each.problem);
  return (
    <Paper withBorder p="md" component="section" aria-label="Curves">
      <Stack gap="sm">
        <Group justify="space-between" gap="sm">
          <Title order={2} size="h5">
            Curves
          </Title>
          <Select
            aria-label="Number"
            w="18rem"
            maw="100%"
            searchable
            allowDeselect={false}
            value={name}
            onChange={(value) => value && onName(value)}
            data={grouped(known)}
          />
        </Group>
        <Legend items={curves} />
        {problem && <Failed error={problem.problem} again={() => problem.retry()} />}
        <Chart
          model={{
            curves,
            x,
            isLog: options.log,
            isClipped: options.clip,
            smoothing: options.smooth,
            marks: selected === null ? [] : [selected],
            selected,
          }}
          sources={numbers}
          height={360}
          label={`${seriesLabel(name)} of ${runs.map((run) => run.label).join(", ")}`}
          onPick={onPick}
        />
        <ChartControls options={options} x={x} hasEpochs={withEpochs} />
        <Text size="xs" c="dimmed" mih="1.2rem">
          {missing.length > 0
            ? `${x === "epoch" ? "No epoch is over yet, or this number is not recorded" : "This number is not recorded"} in ${missing.map((run) => run.label).join(", ")}.`
            : "Drag to zoom in, double-click for all. A click shows the samples nearest to that step."}
        </Text>
      </Stack>
    </Paper>
  );
}
