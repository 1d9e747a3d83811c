import { Stack } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { ChartLine } from "lucide-react";
import { listRunMetricsOptions } from "@/api/generated/@tanstack/react-query.gen";
import type { RunNumbers } from "@/charts/run-numbers";
import type { ChartOptions } from "@/charts/use-chart-options";
import { RowSkeletons } from "@/shared/skeletons";
import { Empty, Failed } from "@/shared/states";
import { HealthCard } from "./health-card";
import { MetricsChart } from "./metrics-chart";
import { WhyPhase } from "./why-phase";

interface Props {
  numbers: RunNumbers;
  works: boolean;
  options: ChartOptions;
  chosen: readonly string[] | undefined;
  onChoose: (names: string[]) => void;
}

const EVERY_MS = 3_000;
const FIRST = ["gradient_stability_avg", "loss_variation"];

/** All numbers of a run, and what they mean. */
export function MetricsView({ numbers, works, options, chosen, onChoose }: Props) {
  const { data, error, isPending, refetch } = useQuery({
    ...listRunMetricsOptions({ path: { run_id: numbers.runId } }),
    refetchInterval: works ? EVERY_MS : false,
  });
  if (isPending) return <RowSkeletons what="the numbers" rows={3} height={140} />;
  if (error) return <Failed error={error} again={refetch} />;
  if (!data.length)
    return (
      <Empty icon={ChartLine} title="No numbers yet">
        The first ones come with the first step.
      </Empty>
    );
  return (
    <Stack gap="md">
      <HealthCard metrics={data} />
      <WhyPhase runId={numbers.runId} works={works} />
      <MetricsChart numbers={numbers} metrics={data} options={options} chosen={chosen ?? FIRST} onChoose={onChoose} />
    </Stack>
  );
}
