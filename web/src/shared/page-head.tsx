import { Group, Stack, Text, Title } from "@mantine/core";
import { type ReactNode, useEffect } from "react";
import { setTitle } from "./title";

/** The head of a page: its title (of the browser's tab, too), one line about it, and what can be done. */
export function PageHead(props: {
  title: string;
  about?: ReactNode;
  actions?: ReactNode;
  /** So much the title gets at least; where there is less, the actions go below it. */
  room?: string;
}) {
  useEffect(() => {
    setTitle(`${props.title} · Loratory`);
  }, [props.title]);
  return (
    <Group justify="space-between" align="flex-start" gap="sm" component="header" mih="2.25rem">
      <Stack gap={2} flex={`1 1 ${props.room ?? "8rem"}`} miw={0}>
        <Title order={1} size="h2" style={{ overflowWrap: "anywhere" }}>
          {props.title}
        </Title>
        {props.about && (
          <Text size="sm" c="dimmed" component="div">
            {props.about}
          </Text>
        )}
      </Stack>
      {props.actions && <Group gap="xs">{props.actions}</Group>}
    </Group>
  );
}
