import { Paper, Skeleton, Stack, Text, Title } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { systemOptions } from "@/api/generated/@tanstack/react-query.gen";
import { Failed } from "@/shared/states";
import { Readings } from "./readings";

const EVERY_MS = 5_000;

/** What this machine has, and how much of it is in use now. */
export function SystemCard() {
  const { data, error, refetch } = useQuery({ ...systemOptions(), refetchInterval: EVERY_MS });
  return (
    <Paper withBorder p="md" component="section" aria-label="This machine">
      <Stack gap="md">
        <Title order={2} size="h5">
          This machine
        </Title>
        {data ? (
          <Readings system={data} />
        ) : error ? (
          <Failed error={error} again={refetch} />
        ) : (
          <Skeleton h={108} role="status" aria-label="Loading this machine's state" />
        )}
        {data && data.gpus.length === 0 && (
          <Text size="sm" c="dimmed">
            No NVIDIA card was found: training goes on the processor, which suits the bundled demo model only.
          </Text>
        )}
      </Stack>
    </Paper>
  );
}
