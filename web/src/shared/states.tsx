import { Alert, Button, Center, Group, Loader, Stack, Text, ThemeIcon, Title } from "@mantine/core";
import { CircleAlert, type LucideIcon, Unplug } from "lucide-react";
import type { ReactNode } from "react";
import { problemOf } from "@/api/problem";

/** Nothing is here yet: what belongs here, and the one thing to do. */
export function Empty(props: { icon: LucideIcon; title: string; children?: ReactNode; action?: ReactNode }) {
  return (
    <Center mih="18rem">
      <Stack align="center" gap="sm" maw="28rem" ta="center">
        <ThemeIcon size={56} radius="xl" variant="light">
          <props.icon size={28} aria-hidden />
        </ThemeIcon>
        <Title order={2} size="h4">
          {props.title}
        </Title>
        {props.children && (
          <Text c="dimmed" size="sm">
            {props.children}
          </Text>
        )}
        {props.action}
      </Stack>
    </Center>
  );
}

/** Something is on its way. */
export function Loading(props: { what: string }) {
  return (
    <Center mih="18rem" role="status">
      <Group gap="sm">
        <Loader size="sm" />
        <Text c="dimmed">Loading {props.what}…</Text>
      </Group>
    </Center>
  );
}

/** It did not work, or nobody answered: what happened, and again. */
export function Failed(props: { error: unknown; again?: () => void }) {
  const problem = problemOf(props.error);
  const lost = problem.isDisconnected;
  return (
    <Alert
      color={lost ? "gray" : "red"}
      icon={lost ? <Unplug aria-hidden /> : <CircleAlert aria-hidden />}
      title={lost ? "No connection" : "This did not work"}
      my="md"
    >
      <Stack gap="sm" align="flex-start">
        <Text size="sm">{problem.message}</Text>
        {props.again && (
          <Button size="xs" variant="default" onClick={props.again}>
            Try again
          </Button>
        )}
      </Stack>
    </Alert>
  );
}
