import { Paper, Skeleton, Stack, Text, Title } from "@mantine/core";
import { useQueries } from "@tanstack/react-query";
import { compareRunConfigsOptions } from "@/api/generated/@tanstack/react-query.gen";
import { problemOf } from "@/api/problem";
import { DifferenceTable } from "@/shared/difference-table";
import { plural } from "@/shared/format";
import type { ComparedRun } from "./compared";
import { configRows } from "./merged";

/** Every parameter that is not the same in all runs. The others are compared with the first one. */
export function CompareConfigs({ runs }: { runs: readonly ComparedRun[] }) {
  const [first, ...others] = runs;
  const found = useQueries({
    queries: others.map((run) => ({
      ...compareRunConfigsOptions({ path: { run_id: first?.id ?? "", other_id: run.id } }),
      retry: false,
    })),
  });
  const rows = configRows(found.map((each) => each.data ?? null));
  const isPending = found.some((each) => each.isPending);
  const failures = [...new Set(found.flatMap((each) => (each.error ? [problemOf(each.error).message] : [])))];
  const known = runs.filter((_, place) => place === 0 || found[place - 1]?.data);
  const shown = runs.map((run) => known.includes(run));
  return (
    <Paper withBorder p="md" component="section" aria-label="Settings that differ">
      <Stack gap="sm">
        <Title order={2} size="h5">
          Settings that differ
        </Title>
        {failures.map((message) => (
          <Text key={message} size="sm" c="var(--said-error)" role="alert">
            {message}
          </Text>
        ))}
        {isPending && <Skeleton h={160} />}
        {!isPending && known.length > 1 && rows.length === 0 && (
          <Text size="sm" c="dimmed">
            None: every setting is the same.
          </Text>
        )}
        {!isPending && rows.length > 0 && (
          <>
            <DifferenceTable
              heads={known.map((run) => run.label)}
              rows={rows.map((row) => ({ ...row, values: row.values.filter((_, place) => shown[place]) }))}
              isFirstUsual
            />
            <Text size="xs" c="dimmed">
              {plural(rows.length, "setting")}. What is the same as in {first?.label} is pale.
            </Text>
          </>
        )}
      </Stack>
    </Paper>
  );
}
