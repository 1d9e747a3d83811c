import { Stack } from "@mantine/core";
import { useQueries } from "@tanstack/react-query";
import { createLazyRoute } from "@tanstack/react-router";
import { GitCompareArrows } from "lucide-react";
import { getRunOptions } from "@/api/generated/@tanstack/react-query.gen";
import { useChartOptions } from "@/charts/use-chart-options";
import { CompareChart } from "@/features/compare/compare-chart";
import { ButtonLink } from "@/shared/links";
import { PageHead } from "@/shared/page-head";
import { Empty, Failed, Loading } from "@/shared/states";

export const Route = createLazyRoute("/runs/compare")({ component: Compare });

function Compare() {
  const search = Route.useSearch();
  const navigate = Route.useNavigate();
  const change = (next: typeof search) =>
    void navigate({ search: (before) => ({ ...before, ...next }), replace: true, resetScroll: false });
  const options = useChartOptions(search, change);
  const found = useQueries({ queries: (search.ids ?? []).map((id) => getRunOptions({ path: { run_id: id } })) });
  const runs = found.flatMap((each) => (each.data ? [{ id: each.data.facts.id, name: each.data.facts.name }] : []));
  const failed = found.find((each) => each.error);
  return (
    <Stack gap="lg">
      <PageHead title="Compare runs" />
      {failed && <Failed error={failed.error} again={() => void failed.refetch()} />}
      {found.some((each) => each.isPending) && <Loading what="the runs" />}
      {!found.length && (
        <Empty
          icon={GitCompareArrows}
          title="Nothing to compare"
          action={<ButtonLink to="/runs">Choose runs</ButtonLink>}
        >
          Select two or more runs in the list.
        </Empty>
      )}
      {runs.length > 0 && (
        <CompareChart
          runs={runs}
          options={options}
          name={search.name ?? "loss"}
          onName={(name) => change({ name: name === "loss" ? undefined : name })}
        />
      )}
    </Stack>
  );
}
