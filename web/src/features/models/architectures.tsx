import { Anchor, Badge, Group, Table, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Check, LockKeyhole } from "lucide-react";
import { listArchitecturesOptions } from "@/api/generated/@tanstack/react-query.gen";
import type { KnownArchitecture } from "@/api/generated/types.gen";
import { Section } from "@/shared/section";
import { RowSkeletons } from "@/shared/skeletons";
import { Failed } from "@/shared/states";

/** What can be trained at all: its licence, its size, and whether one of it is here. */
export function Architectures() {
  const { data, error, refetch } = useQuery(listArchitecturesOptions());
  return (
    <Section
      title="What can be trained"
      about="Architectures that Loratory knows, with the repository of their weights."
    >
      {data ? (
        <Table.ScrollContainer minWidth={560} type="native">
          <Table verticalSpacing="xs" horizontalSpacing="sm" aria-label="What can be trained">
            <Table.Thead>
              <Table.Tr>
                <Table.Th>Architecture</Table.Th>
                <Table.Th>Licence</Table.Th>
                <Table.Th ta="right">Parameters</Table.Th>
                <Table.Th>On this machine</Table.Th>
              </Table.Tr>
            </Table.Thead>
            <Table.Tbody>
              {data.map((each) => (
                <Row key={each.name} known={each} />
              ))}
            </Table.Tbody>
          </Table>
        </Table.ScrollContainer>
      ) : error ? (
        <Failed error={error} again={refetch} />
      ) : (
        <RowSkeletons what="the architectures" rows={8} height={44} />
      )}
    </Section>
  );
}

function Row(props: { known: KnownArchitecture }) {
  const { title, status, repository, licence, gated, present, facts } = props.known;
  const sizes = facts.denoiser_billions as number[] | undefined;
  return (
    <Table.Tr>
      <Table.Td>
        <Group gap="xs">
          <Text size="sm" fw={550}>
            {title}
          </Text>
          {status !== "stable" && (
            <Badge variant="light" color="yellow" radius="sm" tt="none" className="state" data-color="yellow">
              {status}
            </Badge>
          )}
        </Group>
        <Anchor size="xs" href={`https://huggingface.co/${repository}`} target="_blank" rel="noreferrer">
          {repository}
        </Anchor>
      </Table.Td>
      <Table.Td>
        <Text size="sm">{licence}</Text>
        {gated && (
          <Group gap={4} c="dimmed" wrap="nowrap">
            <LockKeyhole size={12} aria-hidden />
            <Text size="xs">to be accepted on the Hub</Text>
          </Group>
        )}
      </Table.Td>
      <Table.Td ta="right" className="numbers">
        {sizes?.[0] === undefined ? "–" : `${sizes[0]} B`}
      </Table.Td>
      <Table.Td>
        {present ? (
          <Group gap={4} wrap="nowrap">
            <Check size={14} aria-hidden />
            <Text size="sm">Yes</Text>
          </Group>
        ) : (
          <Text size="sm" c="dimmed">
            No
          </Text>
        )}
      </Table.Td>
    </Table.Tr>
  );
}
