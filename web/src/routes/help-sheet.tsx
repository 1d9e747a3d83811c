import { Group, Kbd, Modal, SimpleGrid, Stack, Text, Title } from "@mantine/core";
import { keySigns, type Shortcut, useShortcut, useShortcuts } from "@/shared/shortcuts";
import { toggleHelp, useHelp } from "./help-store";

/** All keys that do something on the page that is open. */
export function HelpSheet() {
  const { isOpen } = useHelp();
  const shortcuts = useShortcuts();
  useShortcut("?", "Show these keys", toggleHelp, { group: "Everywhere" });
  return (
    <Modal opened={isOpen} onClose={() => useHelp.setState({ isOpen: false })} title="Keyboard" size="lg" centered>
      <SimpleGrid cols={{ base: 1, xs: 2 }} spacing="xl">
        {groupsOf(shortcuts).map(([group, some]) => (
          <Stack key={group} gap="xs">
            <Title order={3} size="h6">
              {group}
            </Title>
            {some.map((each) => (
              <Group key={each.id} justify="space-between" wrap="nowrap" gap="sm">
                <Text size="sm">{each.label}</Text>
                <Keys keys={each.keys} />
              </Group>
            ))}
          </Stack>
        ))}
      </SimpleGrid>
    </Modal>
  );
}

function Keys(props: { keys: string }) {
  return (
    <Group gap={4} wrap="nowrap">
      {keySigns(props.keys).map((signs, place) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: the keys of one shortcut never change their order
        <Kbd key={place} size="sm">
          {signs.join(" + ")}
        </Kbd>
      ))}
    </Group>
  );
}

/** This page's own first: that is what somebody looks for. */
export function groupsOf(shortcuts: readonly Shortcut[]): [string, Shortcut[]][] {
  const found = new Map<string, Shortcut[]>();
  for (const each of shortcuts) {
    const group = found.get(each.group) ?? [];
    if (!group.some((other) => other.keys === each.keys)) group.push(each);
    found.set(each.group, group);
  }
  const last = ["Go to", "Everywhere"];
  return [...found].sort(([a], [b]) => last.indexOf(a) - last.indexOf(b));
}
