import { Group, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { systemOptions } from "@/api/generated/@tanstack/react-query.gen";
import type { Plan } from "@/api/generated/types.gen";
import { bytes } from "@/shared/format";

/** What it will take of the disk, and what is free there. */
export function DiskLine({ plan }: { plan: Plan | null }) {
  const system = useQuery({ ...systemOptions(), staleTime: 30_000 });
  const free = system.data?.disks.find((each) => each.kind === "home")?.free_bytes ?? null;
  const needed = plan?.disk_bytes.total ?? null;
  const isTight = free !== null && needed !== null && needed > free;
  return (
    <Group justify="space-between" gap="xs">
      <Text size="sm" fw={600}>
        Disk
      </Text>
      <Text size="sm" className="numbers" c={isTight ? "var(--said-error)" : "dimmed"}>
        {bytes(needed)} of {bytes(free)} free
      </Text>
    </Group>
  );
}
