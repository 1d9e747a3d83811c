import { ActionIcon, Anchor, Breadcrumbs, Group, Paper, Stack, Table, Text, UnstyledButton } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Download, File, Folder } from "lucide-react";
import { listRunFilesOptions } from "@/api/generated/@tanstack/react-query.gen";
import type { FileFacts } from "@/api/generated/types.gen";
import { serverUrl } from "@/api/setup";
import { ago, bytes } from "@/shared/format";
import { RowSkeletons } from "@/shared/skeletons";
import { Failed } from "@/shared/states";

const NOWRAP = { whiteSpace: "nowrap" } as const;

interface Props {
  runId: string;
  path: string;
  folder: string;
  onFolder: (folder: string) => void;
}

/** Every file in a run's folder. */
export function FilesView({ runId, path, folder, onFolder }: Props) {
  const { data, error, isPending, refetch } = useQuery(
    listRunFilesOptions({ path: { run_id: runId }, query: { folder } }),
  );
  const parts = folder.split("/").filter(Boolean);
  const inside = (name: string) => (folder ? `${folder}/${name}` : name);
  return (
    <Paper withBorder p="md" component="section" aria-label="Files">
      <Stack gap="sm">
        <Breadcrumbs fz="sm" style={{ flexWrap: "wrap" }}>
          <Anchor component="button" type="button" size="sm" onClick={() => onFolder("")} title={path}>
            {path.split(/[/\\]/).at(-1)}
          </Anchor>
          {parts.map((part, index) => (
            <Anchor
              key={parts.slice(0, index + 1).join("/")}
              component="button"
              type="button"
              size="sm"
              onClick={() => onFolder(parts.slice(0, index + 1).join("/"))}
            >
              {part}
            </Anchor>
          ))}
        </Breadcrumbs>
        <Text size="xs" c="dimmed" style={{ overflowWrap: "anywhere" }}>
          On the server: {path}
        </Text>
        {isPending && <RowSkeletons what="the files" rows={8} height={36} />}
        {error && <Failed error={error} again={refetch} />}
        {data?.length === 0 && (
          <Text size="sm" c="dimmed">
            This folder is empty.
          </Text>
        )}
        {data && data.length > 0 && (
          <Table.ScrollContainer minWidth={280}>
            <Table verticalSpacing={6}>
              <Table.Thead>
                <Table.Tr>
                  <Table.Th>Name</Table.Th>
                  <Table.Th ta="right">Size</Table.Th>
                  <Table.Th ta="right" visibleFrom="sm">
                    Changed
                  </Table.Th>
                  <Table.Th aria-label="Actions" />
                </Table.Tr>
              </Table.Thead>
              <Table.Tbody>
                {data.map((each) => (
                  <Row
                    key={each.name}
                    each={each}
                    url={serverUrl(
                      `/api/runs/${runId}/files/${inside(each.name).split("/").map(encodeURIComponent).join("/")}`,
                    )}
                    enter={() => onFolder(inside(each.name))}
                  />
                ))}
              </Table.Tbody>
            </Table>
          </Table.ScrollContainer>
        )}
      </Stack>
    </Paper>
  );
}

function Row({ each, url, enter }: { each: FileFacts; url: string; enter: () => void }) {
  const Icon = each.is_folder ? Folder : File;
  return (
    <Table.Tr>
      <Table.Td>
        <Group gap="xs" wrap="nowrap">
          <Icon size={16} aria-hidden style={{ flex: "none" }} />
          {each.is_folder ? (
            <UnstyledButton fz="sm" fw={500} onClick={enter} style={{ overflowWrap: "anywhere" }}>
              {each.name}
            </UnstyledButton>
          ) : (
            <Anchor href={url} target="_blank" size="sm" c="inherit" style={{ overflowWrap: "anywhere" }}>
              {each.name}
            </Anchor>
          )}
        </Group>
      </Table.Td>
      <Table.Td ta="right" style={NOWRAP}>
        {bytes(each.bytes)}
      </Table.Td>
      <Table.Td ta="right" visibleFrom="sm" style={NOWRAP}>
        {ago(each.time)}
      </Table.Td>
      <Table.Td ta="right">
        {!each.is_folder && (
          <ActionIcon
            component="a"
            variant="default"
            size={30}
            href={`${url}?save=true`}
            download={each.name}
            aria-label={`Download ${each.name}`}
          >
            <Download size={16} aria-hidden />
          </ActionIcon>
        )}
      </Table.Td>
    </Table.Tr>
  );
}
