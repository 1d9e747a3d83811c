import { Group, HoverCard, Progress, Stack, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { systemOptions } from "@/api/generated/@tanstack/react-query.gen";
import type { System } from "@/api/generated/types.gen";
import classes from "./meter.module.css";
import { Readings } from "./readings";

const EVERY_MS = 5_000;

/** How busy the machine is, in the top bar: small bars, of which a phone has room for one; all numbers where one points. */
export function Meter(props: { isSmall?: boolean }) {
  const { data } = useQuery({ ...systemOptions(), refetchInterval: EVERY_MS });
  if (!data) return <div className={classes.meter} data-small={props.isSmall || undefined} aria-hidden />;
  const bars = barsOf(data);
  const said = bars.map((bar) => `${bar.name} ${Math.round(100 * bar.used)} %`).join(", ");
  return (
    <HoverCard width={320} position="bottom-end" shadow="md" openDelay={150} withinPortal>
      <HoverCard.Target>
        <button
          type="button"
          className={classes.meter}
          data-small={props.isSmall || undefined}
          aria-label={`This machine: ${said}`}
        >
          {(props.isSmall ? bars.slice(0, 1) : bars).map((bar) => (
            <Stack key={bar.name} gap={3} w={46}>
              <Group justify="space-between" gap={2} wrap="nowrap">
                <Text fz={10} lh={1} fw={550}>
                  {bar.name}
                </Text>
                <Text fz={10} lh={1} c="dimmed" className="numbers">
                  {Math.round(100 * bar.used)}
                </Text>
              </Group>
              <Progress
                value={100 * bar.used}
                size={4}
                color={bar.name === "CPU" ? "iris" : colorOf(bar.used)}
                aria-hidden
              />
            </Stack>
          ))}
        </button>
      </HoverCard.Target>
      <HoverCard.Dropdown>
        <Readings system={data} />
      </HoverCard.Dropdown>
    </HoverCard>
  );
}

function colorOf(used: number): string {
  return used < 0.85 ? "iris" : used < 0.95 ? "orange" : "red";
}

/** The fullest card, else the processor; memory; the disk of Loratory's folder. Shares from 0 to 1. */
export function barsOf(system: System): { name: string; used: number }[] {
  const cards = system.gpus
    .filter((gpu) => gpu.memory_total_bytes)
    .map((gpu) => (gpu.memory_used_bytes ?? 0) / (gpu.memory_total_bytes ?? 1));
  const first =
    cards.length > 0 ? { name: "GPU", used: Math.max(...cards) } : { name: "CPU", used: system.cpu_percent / 100 };
  const disk = system.disks.find((each) => each.kind === "home" && each.total_bytes);
  return [
    first,
    { name: "RAM", used: system.memory.used_bytes / system.memory.total_bytes },
    ...(disk?.total_bytes ? [{ name: "Disk", used: 1 - (disk.free_bytes ?? 0) / disk.total_bytes }] : []),
  ];
}
