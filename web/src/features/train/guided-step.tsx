import { Paper, Stack, Text, Title } from "@mantine/core";
import type { ReactNode } from "react";

export function GuidedStep(props: { title: string; about?: string; children: ReactNode }) {
  return (
    <Paper withBorder p="md" component="section" aria-label={props.title}>
      <Stack gap="sm">
        <div>
          <Title order={2} size="h5">
            {props.title}
          </Title>
          {props.about && (
            <Text size="sm" c="dimmed">
              {props.about}
            </Text>
          )}
        </div>
        {props.children}
      </Stack>
    </Paper>
  );
}
