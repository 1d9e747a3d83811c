import { Anchor, CopyButton, Group, Stack, Table, Text, UnstyledButton } from "@mantine/core";
import { Copy, Download } from "lucide-react";
import type { Sample, SamplePrompt } from "@/api/generated/types.gen";
import { bytes, count } from "@/shared/format";
import { promptText, sampleUrl } from "./shown";

/** What made a sample. */
export function AboutSample({ runId, sample, prompt }: { runId: string; sample: Sample; prompt: SamplePrompt }) {
  const { "Training step": _step, ...settings } = prompt.settings;
  const rows: [string, string][] = [
    ["Training step", count(sample.step)],
    ...Object.entries(settings),
    ["File", sample.file],
    ["Size of the file", bytes(sample.bytes)],
  ];
  return (
    <Stack gap="sm">
      <Text size="sm" style={{ whiteSpace: "pre-wrap", overflowWrap: "anywhere" }}>
        {promptText(prompt)}
      </Text>
      {prompt.negative && (
        <Text size="sm" c="dimmed">
          Not: {prompt.negative}
        </Text>
      )}
      <Group gap="md">
        <CopyButton value={promptText(prompt)}>
          {({ copied, copy }) => (
            <UnstyledButton onClick={copy} fz="sm" c="var(--mantine-color-anchor)">
              <Group gap={6}>
                <Copy size={15} aria-hidden />
                {copied ? "Copied" : "Copy the prompt"}
              </Group>
            </UnstyledButton>
          )}
        </CopyButton>
        <Anchor href={`${sampleUrl(runId, sample)}?save=true`} download size="sm">
          <Group gap={6}>
            <Download size={15} aria-hidden />
            Download
          </Group>
        </Anchor>
      </Group>
      <Table variant="vertical" layout="fixed" fz="xs" verticalSpacing={4} withRowBorders>
        <Table.Tbody>
          {rows.map(([name, value]) => (
            <Table.Tr key={name}>
              <Table.Th w="45%">{name}</Table.Th>
              <Table.Td style={{ overflowWrap: "anywhere" }}>{value}</Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </Stack>
  );
}
