import { Group, Paper, Stack, Text, Title } from "@mantine/core";
import { type ReactNode, useId } from "react";

/** A card with a heading: the one look of every part of a page. */
export function Section(props: { title: string; about?: ReactNode; actions?: ReactNode; children: ReactNode }) {
  const id = useId();
  return (
    <Paper withBorder p="md" component="section" aria-labelledby={id}>
      <Stack gap="md">
        <Group justify="space-between" gap="sm" mih="1.75rem">
          <Stack gap={2} flex="1 1 12rem" miw={0}>
            <Title order={2} size="h5" id={id}>
              {props.title}
            </Title>
            {props.about && (
              <Text size="sm" c="dimmed">
                {props.about}
              </Text>
            )}
          </Stack>
          {props.actions && <Group gap="xs">{props.actions}</Group>}
        </Group>
        {props.children}
      </Stack>
    </Paper>
  );
}
