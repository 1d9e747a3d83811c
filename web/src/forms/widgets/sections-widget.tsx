import { ActionIcon, Button, Group, Stack, Text, Title, Tooltip } from "@mantine/core";
import { Copy, Plus, Trash2 } from "lucide-react";
import { useForm, type WidgetProps } from "../context";
import { groupsOf } from "../fields";
import classes from "../form.module.css";

/** A list of sections, such as datasets: each with its own fields. */
export function SectionsWidget({ field, path, value, set }: WidgetProps) {
  const { Row } = useForm();
  const entries = Array.isArray(value) ? value : [];
  const groups = groupsOf(field.children);
  const one = singular(field.label);
  return (
    <Stack gap="sm">
      {entries.map((entry, i) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: entries have no other name than their place
        <section key={i} className={classes.entry} aria-label={`${one} ${i + 1}`}>
          <Group justify="space-between" mb="xs">
            <Title order={4} size="h6">
              {one} {i + 1}
            </Title>
            <Group gap={4}>
              <Tooltip label="Copy">
                <ActionIcon
                  variant="subtle"
                  color="gray"
                  aria-label={`Copy ${one} ${i + 1}`}
                  onClick={() => set(entries.toSpliced(i, 0, entry))}
                >
                  <Copy size={16} aria-hidden />
                </ActionIcon>
              </Tooltip>
              <Tooltip label="Remove">
                <ActionIcon
                  variant="subtle"
                  color="gray"
                  aria-label={`Remove ${one} ${i + 1}`}
                  onClick={() => set(entries.toSpliced(i, 1))}
                >
                  <Trash2 size={16} aria-hidden />
                </ActionIcon>
              </Tooltip>
            </Group>
          </Group>
          <div className={classes.inner} data-single={groups.length === 1 || undefined}>
            {groups.map((group) => (
              <div key={group.name}>
                {groups.length > 1 && (
                  <Text size="xs" fw={650} c="dimmed" mb={6}>
                    {group.name}
                  </Text>
                )}
                <div className={classes.rows}>
                  {group.fields.map((each) => (
                    <Row key={each.key} field={each} prefix={`${path}.${i}.`} />
                  ))}
                </div>
              </div>
            ))}
          </div>
        </section>
      ))}
      <Button
        variant="default"
        size="xs"
        leftSection={<Plus size={14} aria-hidden />}
        onClick={() => set([...entries, {}])}
        style={{ alignSelf: "flex-start" }}
      >
        Add {one.toLowerCase()}
      </Button>
    </Stack>
  );
}

function singular(label: string): string {
  return label.endsWith("s") ? label.slice(0, -1) : label;
}
