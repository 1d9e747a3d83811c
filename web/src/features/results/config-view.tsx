import { Button, CopyButton, Group, Paper, Select, Skeleton, Stack, Text, Title } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Copy, Download, FileX } from "lucide-react";
import { getRunConfigOptions, listPresetsOptions, listRunsOptions } from "@/api/generated/@tanstack/react-query.gen";
import { compareConfigs } from "@/api/generated/sdk.gen";
import type { Compared } from "@/api/generated/types.gen";
import { problemOf } from "@/api/problem";
import { serverUrl } from "@/api/setup";
import { DifferenceTable } from "@/shared/difference-table";
import { plural } from "@/shared/format";
import { Empty, Failed } from "@/shared/states";
import classes from "./log.module.css";

interface Props {
  runId: string;
  name: string;
  /** "defaults", "preset:<name>" or "run:<id>". */
  against: string;
  onAgainst: (against: string) => void;
}

/** What a run was trained with, and in what that differs from something else. */
export function ConfigView({ runId, name, against, onAgainst }: Props) {
  const config = useQuery({ ...getRunConfigOptions({ path: { run_id: runId } }), retry: false });
  const presets = useQuery(listPresetsOptions());
  const runs = useQuery(listRunsOptions({ query: { limit: 200 } }));
  const difference = useQuery({
    queryKey: ["compareConfigs", runId, against],
    queryFn: async ({ signal }) =>
      (await compareConfigs({ body: { a: { run: runId }, b: sideOf(against) }, signal })).data,
    enabled: config.isSuccess,
  });
  if (config.error && problemOf(config.error).status === 404)
    return (
      <Empty icon={FileX} title="No config yet">
        {problemOf(config.error).message}
      </Empty>
    );
  if (config.error) return <Failed error={config.error} again={config.refetch} />;
  const others = runs.data?.runs.filter((each) => each.id !== runId) ?? [];
  const choices = [
    { group: "General", items: [{ value: "defaults", label: "The defaults" }] },
    {
      group: "Presets",
      items: (presets.data?.presets ?? []).map((each) => ({ value: `preset:${each.name}`, label: each.title })),
    },
    { group: "Runs", items: others.map((each) => ({ value: `run:${each.id}`, label: each.name })) },
  ];
  const label = choices.flatMap((each) => each.items).find((each) => each.value === against)?.label ?? "The other";
  // What only one side has, and leaves empty there, says nothing.
  const rows = (difference.data?.differences ?? []).filter(
    (each) => each.a != null || each.b != null || (each.in_a && each.in_b),
  );
  return (
    <Stack gap="md">
      <Paper withBorder p="md" component="section" aria-label="Differences">
        <Stack gap="sm">
          <Group justify="space-between">
            <Title order={2} size="h5">
              What is different
            </Title>
            <Select
              aria-label="Compare with"
              searchable
              allowDeselect={false}
              w="18rem"
              maw="100%"
              data={choices}
              value={against}
              onChange={(value) => value && onAgainst(value)}
            />
          </Group>
          {difference.error && <Failed error={difference.error} again={difference.refetch} />}
          {difference.isPending && <Skeleton h={160} />}
          {difference.data && rows.length === 0 && (
            <Text size="sm" c="dimmed">
              Nothing: every parameter is the same.
            </Text>
          )}
          {rows.length > 0 && (
            <>
              <DifferenceTable
                heads={[name, label]}
                rows={rows.map((row) => ({
                  path: row.path,
                  values: [
                    { value: row.a, isThere: row.in_a },
                    { value: row.b, isThere: row.in_b },
                  ],
                }))}
              />
              <Text size="xs" c="dimmed" aria-live="polite">
                {plural(rows.length, "parameter")}
              </Text>
            </>
          )}
        </Stack>
      </Paper>
      <Paper withBorder p="md" component="section" aria-label="Job file">
        <Stack gap="sm">
          <Group justify="space-between">
            <Title order={2} size="h5">
              The whole job file
            </Title>
            <Group gap="xs">
              <CopyButton value={config.data?.text ?? ""}>
                {({ copied, copy }) => (
                  <Button size="xs" variant="default" leftSection={<Copy size={14} aria-hidden />} onClick={copy}>
                    {copied ? "Copied" : "Copy"}
                  </Button>
                )}
              </CopyButton>
              <Button
                size="xs"
                variant="default"
                component="a"
                href={serverUrl(`/api/runs/${runId}/files/config.yaml?save=true`)}
                download={`${name}.yaml`}
                leftSection={<Download size={14} aria-hidden />}
              >
                Download
              </Button>
            </Group>
          </Group>
          {config.isPending ? (
            <Skeleton h={400} />
          ) : (
            // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard
            <pre className={classes.code} tabIndex={0}>
              {config.data.text}
            </pre>
          )}
        </Stack>
      </Paper>
    </Stack>
  );
}

function sideOf(against: string): Compared {
  if (against.startsWith("preset:")) return { preset: against.slice(7) };
  if (against.startsWith("run:")) return { run: against.slice(4) };
  return {};
}
