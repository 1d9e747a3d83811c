import { Paper, Select, Stack, Title, useComputedColorScheme } from "@mantine/core";
import { useEffect, useMemo, useReducer } from "react";
import { Chart } from "@/charts/chart";
import { type Look, lineColor } from "@/charts/colors";
import { ChartControls } from "@/charts/controls";
import { curvesOf } from "@/charts/curves";
import { Legend } from "@/charts/legend";
import { seriesLabel } from "@/charts/names";
import { RunNumbers } from "@/charts/run-numbers";
import type { ChartOptions } from "@/charts/use-chart-options";

interface Props {
  runs: readonly { id: string; name: string }[];
  options: ChartOptions;
  name: string;
  onName: (name: string) => void;
}

const NAMES = ["loss", "validation_loss", "learning_rate", "grad_norm", "gradient_stability_avg", "loss_variation"];

/** One number of several runs, a line for each. */
export function CompareChart({ runs, options, name, onName }: Props) {
  const look: Look = useComputedColorScheme("light");
  const ids = runs.map((run) => run.id).join(" ");
  const numbers = useMemo(() => ids.split(" ").map((id) => new RunNumbers(id)), [ids]);
  const [version, come] = useReducer((before: number) => before + 1, 0);
  useEffect(() => {
    let isHere = true;
    const all = numbers.map((each) => each.want([name, "time", "epoch"]));
    void Promise.all(all).then(() => isHere && come());
    return () => {
      isHere = false;
    };
  }, [numbers, name]);
  // biome-ignore lint/correctness/useExhaustiveDependencies: `version` says that series came
  const curves = useMemo(
    () =>
      runs.flatMap((run, index) => {
        const own = numbers[index];
        if (!own) return [];
        const color = lineColor(index, look);
        return curvesOf(own, [name], options.x, look).map((each) => ({
          ...each,
          key: run.id,
          label: run.name,
          color,
          scale: "y" as const,
          dash: undefined,
        }));
      }),
    [runs, numbers, name, options.x, look, version],
  );
  return (
    <Paper withBorder p="md" component="section" aria-label="Curves">
      <Stack gap="sm">
        <Title order={2} size="h5">
          Curves
        </Title>
        <Select
          aria-label="Number"
          w="18rem"
          maw="100%"
          allowDeselect={false}
          value={name}
          onChange={(value) => value && onName(value)}
          data={NAMES.map((value) => ({ value, label: seriesLabel(value) }))}
        />
        <Legend items={curves} />
        <Chart
          model={{
            curves,
            x: options.x,
            isLog: options.log,
            isClipped: options.clip,
            smoothing: options.smooth,
            marks: [],
            selected: null,
          }}
          sources={numbers}
          height={360}
          label={`${seriesLabel(name)} of ${runs.map((run) => run.name).join(", ")}`}
        />
        <ChartControls options={options} hasEpochs />
      </Stack>
    </Paper>
  );
}
