import { useChartOptions } from "@/charts/use-chart-options";
import { MetricsView } from "@/features/health/metrics-view";
import { isActive } from "@/shared/run-states";
import type { TabProps } from "./runs-tabs";

export function RunMetrics({ run, live, search, change }: TabProps) {
  const options = useChartOptions(search, change);
  const state = typeof run.status.state === "string" ? run.status.state : run.facts.state;
  return (
    <MetricsView
      numbers={live.numbers}
      works={isActive(state)}
      options={options}
      chosen={search.series}
      onChoose={(series) => change({ series })}
    />
  );
}
