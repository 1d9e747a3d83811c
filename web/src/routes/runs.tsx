import { Stack } from "@mantine/core";
import { createLazyRoute } from "@tanstack/react-router";
import { RunsList } from "@/features/runs/runs-list";
import { PageHead } from "@/shared/page-head";

export const Route = createLazyRoute("/runs")({ component: Runs });

function Runs() {
  const search = Route.useSearch();
  const navigate = Route.useNavigate();
  return (
    <Stack gap="lg">
      <PageHead title="Runs" />
      <RunsList
        search={search}
        onChange={(change) => void navigate({ search: (before) => ({ ...before, ...change }), replace: true })}
      />
    </Stack>
  );
}
