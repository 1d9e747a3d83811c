import { Alert, Button, Stack, Text, useComputedColorScheme } from "@mantine/core";
import { useQueries } from "@tanstack/react-query";
import { createLazyRoute, Link } from "@tanstack/react-router";
import { GitCompareArrows, Plus } from "lucide-react";
import { useMemo, useRef } from "react";
import { getRunOptions } from "@/api/generated/@tanstack/react-query.gen";
import type { RunDetail } from "@/api/generated/types.gen";
import { problemOf } from "@/api/problem";
import { lineColor } from "@/charts/colors";
import { RunNumbers } from "@/charts/run-numbers";
import { useChartOptions } from "@/charts/use-chart-options";
import { CompareChart } from "@/features/compare/compare-chart";
import { CompareConfigs } from "@/features/compare/compare-configs";
import { CompareSamples } from "@/features/compare/compare-samples";
import { type ComparedRun, MOST_RUNS } from "@/features/compare/compared";
import { FollowRun } from "@/features/compare/follow-run";
import { labelsOf } from "@/features/compare/labels";
import { RunChips } from "@/features/compare/run-chips";
import { plural } from "@/shared/format";
import { ButtonLink } from "@/shared/links";
import { PageHead } from "@/shared/page-head";
import { RowSkeletons } from "@/shared/skeletons";
import { Empty, Failed } from "@/shared/states";

export const Route = createLazyRoute("/runs/compare")({ component: Compare });

function Compare() {
  const search = Route.useSearch();
  const navigate = Route.useNavigate();
  const change = (next: typeof search) =>
    void navigate({ search: (before) => ({ ...before, ...next }), replace: true, resetScroll: false });
  const options = useChartOptions(search, change);
  const asked = [...new Set(search.ids)];
  const ids = asked.slice(0, MOST_RUNS);
  const found = useQueries({ queries: ids.map((id) => getRunOptions({ path: { run_id: id } })) });
  const gone = ids.filter((_, place) => found[place]?.error && problemOf(found[place].error).status === 404);
  const failed = found.find((each) => each.error && problemOf(each.error).status !== 404);
  const isPending = found.some((each) => each.isPending);
  const runs = useCompared(
    found.flatMap((each, place) => (each.data && !gone.includes(ids[place] ?? "") ? [each.data] : [])),
  );
  const without = (left: readonly string[]) => change({ ids: asked.filter((id) => !left.includes(id)) });
  return (
    <Stack gap="md">
      <PageHead
        title="Compare runs"
        actions={
          ids.length > 0 && (
            <Button
              variant="default"
              leftSection={<Plus size={16} aria-hidden />}
              renderRoot={(props) => <Link {...props} to="/runs" search={{ ids: asked }} />}
            >
              Choose others
            </Button>
          )
        }
      />
      {failed && <Failed error={failed.error} again={() => void failed.refetch()} />}
      {gone.length > 0 && (
        <Alert color="orange" title={`${plural(gone.length, "run")} of these ${gone.length === 1 ? "is" : "are"} gone`}>
          <Stack gap="xs" align="flex-start">
            <Text size="sm">
              Somebody deleted or moved {gone.length === 1 ? "it" : "them"}. Runs that were deleted here lie in the
              trash: Settings can restore them.
            </Text>
            <Button size="xs" variant="default" onClick={() => without(gone)}>
              Go on without
            </Button>
          </Stack>
        </Alert>
      )}
      {asked.length > MOST_RUNS && (
        <Alert color="gray">
          {MOST_RUNS} runs can be compared at once; these are the first {MOST_RUNS} of {asked.length}.
        </Alert>
      )}
      {!ids.length && (
        <Empty
          icon={GitCompareArrows}
          title="Nothing to compare"
          action={<ButtonLink to="/runs">Choose runs</ButtonLink>}
        >
          Select two or more runs in the list.
        </Empty>
      )}
      {isPending && runs.length === 0 && <RowSkeletons what="the runs" rows={3} height={220} />}
      {runs.length > 0 && (
        <>
          <RunChips runs={runs} remove={(id) => without([id])} />
          {runs.map((run) => (
            <FollowRun key={run.id} run={run} />
          ))}
          <CompareChart
            runs={runs}
            options={options}
            name={search.name ?? "loss"}
            onName={(name) => change({ name: name === "loss" ? undefined : name })}
            selected={search.step ?? null}
            onPick={(step) => change({ step })}
          />
          <CompareSamples runs={runs} step={search.step} onStep={(step) => change({ step })} />
          {runs.length > 1 && <CompareConfigs runs={runs} />}
        </>
      )}
    </Stack>
  );
}

/** The runs with their labels, colours and numbers; numbers are kept while others come and go. */
function useCompared(details: readonly RunDetail[]): readonly ComparedRun[] {
  const look = useComputedColorScheme("light");
  const kept = useRef(new Map<string, RunNumbers>());
  // A new list only where something in it is new, for charts are drawn anew for a new list.
  const key = JSON.stringify([look, details.map(({ facts }) => facts)]);
  // biome-ignore lint/correctness/useExhaustiveDependencies: `key` says everything that is shown of the details
  return useMemo(() => {
    const labels = labelsOf(details.map((each) => each.facts));
    return details.map((detail, place) => {
      const { id } = detail.facts;
      const numbers = kept.current.get(id) ?? new RunNumbers(id);
      kept.current.set(id, numbers);
      return { id, label: labels[place] ?? detail.facts.name, color: lineColor(place, look), detail, numbers };
    });
  }, [key]);
}
