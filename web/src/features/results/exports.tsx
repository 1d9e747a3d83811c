import { ActionIcon, Badge, Group, HoverCard, Paper, Stack, Table, Text, Title, UnstyledButton } from "@mantine/core";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Download, Trash2 } from "lucide-react";
import {
  getRunQueryKey,
  listRunExportsOptions,
  listRunExportsQueryKey,
} from "@/api/generated/@tanstack/react-query.gen";
import { deleteRunExport } from "@/api/generated/sdk.gen";
import type { ExportFacts } from "@/api/generated/types.gen";
import { serverUrl } from "@/api/setup";
import { askDelete } from "@/shared/delete-dialog";
import { ago, bytes, count } from "@/shared/format";
import { RowSkeletons } from "@/shared/skeletons";
import { Failed } from "@/shared/states";

const NOWRAP = { whiteSpace: "nowrap" } as const;
const KINDS = { final: "Final", best: "Best", step: "Step" } as const;

/** The LoRA files of a run: what other programs load. */
export function Exports({ runId }: { runId: string }) {
  const queries = useQueryClient();
  const path = { path: { run_id: runId } };
  const { data, error, isPending, refetch } = useQuery(listRunExportsOptions(path));
  const refresh = () => {
    void queries.invalidateQueries({ queryKey: getRunQueryKey(path) });
    return queries.invalidateQueries({ queryKey: listRunExportsQueryKey(path) });
  };
  const remove = (each: ExportFacts) =>
    askDelete({
      what: each.file,
      bytes: each.bytes,
      remove: async () => {
        const { data: trashed } = await deleteRunExport({ path: { run_id: runId, file: each.file } });
        await refresh();
        return [trashed.id];
      },
      onRestored: () => void refresh(),
    });
  return (
    <Paper withBorder p="md" component="section" aria-label="LoRA files">
      <Stack gap="sm">
        <Stack gap={2}>
          <Title order={2} size="h5">
            LoRA files
          </Title>
          <Text size="sm" c="dimmed">
            For ComfyUI, Forge, diffusers and others. Put them where your program looks for LoRAs.
          </Text>
        </Stack>
        {isPending && <RowSkeletons what="the LoRA files" rows={3} />}
        {error && <Failed error={error} again={refetch} />}
        {data?.length === 0 && (
          <Text size="sm" c="dimmed">
            None yet. “Save now” in the run's menu writes one while it works.
          </Text>
        )}
        {data && data.length > 0 && (
          <Table.ScrollContainer minWidth={280}>
            <Table verticalSpacing="xs">
              <Table.Thead>
                <Table.Tr>
                  <Table.Th>File</Table.Th>
                  <Table.Th ta="right" visibleFrom="sm">
                    Step
                  </Table.Th>
                  <Table.Th ta="right">Size</Table.Th>
                  <Table.Th ta="right" visibleFrom="sm">
                    Written
                  </Table.Th>
                  <Table.Th aria-label="Actions" />
                </Table.Tr>
              </Table.Thead>
              <Table.Tbody>
                {inOrder(data).map((each) => (
                  <Table.Tr key={each.file}>
                    <Table.Td>
                      <Group gap="xs">
                        {each.kind !== "step" && (
                          <Badge variant="light" size="sm" tt="none" color={each.kind === "best" ? "green" : undefined}>
                            {KINDS[each.kind]}
                          </Badge>
                        )}
                        <Metadata each={each} />
                      </Group>
                      {each.problem && (
                        <Text size="xs" c="var(--said-error)">
                          {each.problem}
                        </Text>
                      )}
                    </Table.Td>
                    <Table.Td ta="right" visibleFrom="sm">
                      {count(each.step ?? (Number(each.metadata.steps) || null))}
                    </Table.Td>
                    <Table.Td ta="right" style={NOWRAP}>
                      {bytes(each.bytes)}
                    </Table.Td>
                    <Table.Td ta="right" visibleFrom="sm" style={NOWRAP}>
                      {ago(each.time)}
                    </Table.Td>
                    <Table.Td>
                      <Group gap="xs" justify="flex-end" wrap="nowrap">
                        <ActionIcon
                          component="a"
                          variant="default"
                          size={30}
                          href={serverUrl(`/api/runs/${runId}/files/${encodeURIComponent(each.file)}?save=true`)}
                          download={each.file}
                          aria-label={`Download ${each.file}`}
                        >
                          <Download size={16} aria-hidden />
                        </ActionIcon>
                        <ActionIcon
                          variant="default"
                          size={30}
                          aria-label={`Delete ${each.file}`}
                          onClick={() => remove(each)}
                        >
                          <Trash2 size={16} aria-hidden />
                        </ActionIcon>
                      </Group>
                    </Table.Td>
                  </Table.Tr>
                ))}
              </Table.Tbody>
            </Table>
          </Table.ScrollContainer>
        )}
      </Stack>
    </Paper>
  );
}

/** The final one, the best one, then the latest first. */
function inOrder(exports: readonly ExportFacts[]): ExportFacts[] {
  const rank = { final: 0, best: 1, step: 2 };
  return exports.toSorted((a, b) => rank[a.kind] - rank[b.kind] || (b.step ?? 0) - (a.step ?? 0));
}

/** The name of a file; what its metadata say shows when it is pointed at or focused. */
function Metadata({ each }: { each: ExportFacts }) {
  const rows = Object.entries(each.metadata);
  if (!rows.length) return <Text size="sm">{each.file}</Text>;
  return (
    <HoverCard width={340} position="bottom-start" withinPortal openDelay={300}>
      <HoverCard.Target>
        <UnstyledButton fz="sm" style={{ overflowWrap: "anywhere" }}>
          {each.file}
        </UnstyledButton>
      </HoverCard.Target>
      <HoverCard.Dropdown>
        <Table fz="xs" variant="vertical" verticalSpacing={3}>
          <Table.Tbody>
            {rows.map(([name, value]) => (
              <Table.Tr key={name}>
                <Table.Th>{name.replaceAll("_", " ")}</Table.Th>
                <Table.Td style={{ overflowWrap: "anywhere" }}>{value}</Table.Td>
              </Table.Tr>
            ))}
          </Table.Tbody>
        </Table>
      </HoverCard.Dropdown>
    </HoverCard>
  );
}
