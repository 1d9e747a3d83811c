import { Stack, Title } from "@mantine/core";
import { createLazyRoute } from "@tanstack/react-router";
import { SystemCard } from "@/features/system/system-card";

export const Route = createLazyRoute("/")({ component: Home });

function Home() {
  return (
    <Stack gap="lg">
      <Title order={1} size="h2">
        Home
      </Title>
      <SystemCard />
    </Stack>
  );
}
