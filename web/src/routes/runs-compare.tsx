import { Stack } from "@mantine/core";
import { createLazyRoute } from "@tanstack/react-router";
import { PageHead } from "@/shared/page-head";

export const Route = createLazyRoute("/runs/compare")({ component: Compare });

function Compare() {
  return (
    <Stack gap="lg">
      <PageHead title="Compare runs" />
    </Stack>
  );
}
