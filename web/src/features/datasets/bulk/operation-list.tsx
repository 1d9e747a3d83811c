import { ActionIcon, Button, Group, Menu, Paper, Stack, Text, Title } from "@mantine/core";
import { ChevronDown, Plus, X } from "lucide-react";
import type { Filled } from "./draft";
import { OperationFields } from "./operation-fields";
import { KINDS, type Operation } from "./operations";

/** The operations of an edit, done one after the other. */
export function OperationList(props: {
  datasetId: string;
  filled: readonly Filled[];
  change: (to: (before: Filled[]) => Filled[]) => void;
}) {
  const { filled, change } = props;
  return filled.map(({ id, operation }, place) => {
    const kind = KINDS.find((each) => each.op === operation.op);
    return (
      <Paper key={id} withBorder p="md" component="section" aria-label={kind?.label}>
        <Stack gap="xs">
          <Group justify="space-between" wrap="nowrap" align="flex-start">
            <Stack gap={0}>
              <Title order={2} size="h6">
                {filled.length > 1 && `${place + 1}. `}
                {kind?.label}
              </Title>
              <Text size="xs" c="dimmed">
                {kind?.about}
              </Text>
            </Stack>
            <ActionIcon
              variant="subtle"
              color="gray"
              aria-label={`Leave out: ${kind?.label}`}
              onClick={() => change((before) => before.filter((each) => each.id !== id))}
            >
              <X size={16} aria-hidden />
            </ActionIcon>
          </Group>
          <OperationFields
            datasetId={props.datasetId}
            operation={operation}
            change={(changed) =>
              change((before) => before.map((each) => (each.id === id ? { id, operation: changed } : each)))
            }
          />
        </Stack>
      </Paper>
    );
  });
}

export function OperationMenu(props: { add: (operation: Operation) => void }) {
  return (
    <Menu position="bottom-start" width={320}>
      <Menu.Target>
        <Button
          variant="default"
          leftSection={<Plus size={16} aria-hidden />}
          rightSection={<ChevronDown size={14} aria-hidden />}
        >
          Add an operation
        </Button>
      </Menu.Target>
      <Menu.Dropdown mah="60dvh" style={{ overflowY: "auto" }}>
        {KINDS.map((kind) => (
          <Menu.Item key={kind.op} onClick={() => props.add(kind.start)}>
            <Text size="sm">{kind.label}</Text>
            <Text size="xs" c="dimmed">
              {kind.about}
            </Text>
          </Menu.Item>
        ))}
      </Menu.Dropdown>
    </Menu>
  );
}
