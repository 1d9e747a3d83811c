import { Grid, Stack } from "@mantine/core";
import { useChartOptions } from "@/charts/use-chart-options";
import { LossChart } from "@/features/runs/loss-chart";
import { NotesCard } from "@/features/runs/notes-card";
import { LatestSamples } from "@/features/samples/latest-samples";
import type { TabProps } from "./runs-tabs";

/** The chart and the samples belong together: a click on a point shows the samples of that step. */
export function RunOverview({ run, live, search, change, open }: TabProps) {
  const options = useChartOptions(search, change);
  const { id } = run.facts;
  return (
    <Grid gap="md">
      <Grid.Col span={{ base: 12, lg: 8 }}>
        <LossChart
          numbers={live.numbers}
          options={options}
          selected={search.step ?? null}
          onPick={(step) => change({ step })}
        />
      </Grid.Col>
      <Grid.Col span={{ base: 12, lg: 4 }}>
        <Stack gap="md">
          <LatestSamples runId={id} search={search} onChange={change} showAll={() => open("samples")} />
          <NotesCard runId={id} saved={run.notes} />
        </Stack>
      </Grid.Col>
    </Grid>
  );
}
