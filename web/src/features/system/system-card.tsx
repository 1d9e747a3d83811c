import { Paper, Stack, Title } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { systemOptions } from "@/api/generated/@tanstack/react-query.gen";
import { bytes, memory } from "@/shared/format";
import { Failed, Loading } from "@/shared/states";
import { Gauge } from "./gauge";

const EVERY_MS = 3_000;

/** What this machine has, and how much of it is in use now. */
export function SystemCard() {
  const { data, error, isPending, refetch } = useQuery({ ...systemOptions(), refetchInterval: EVERY_MS });
  if (isPending) return <Loading what="this machine's state" />;
  if (error) return <Failed error={error} again={refetch} />;
  const used = data.memory.used_bytes;
  return (
    <Paper withBorder p="md" component="section" aria-label="This machine">
      <Stack gap="md">
        <Title order={2} size="h5">
          This machine
        </Title>
        {data.gpus.map((gpu) => (
          <Gauge
            key={gpu.uuid}
            name={gpu.name}
            said={`${memory(gpu.memory_used_bytes)} of ${memory(gpu.memory_total_bytes)}`}
            used={share(gpu.memory_used_bytes, gpu.memory_total_bytes)}
          />
        ))}
        <Gauge
          name={`Processor, ${data.cores} cores`}
          said={`${data.cpu_percent.toFixed(0)} %`}
          used={data.cpu_percent / 100}
        />
        <Gauge
          name="Memory"
          said={`${memory(used)} of ${memory(data.memory.total_bytes)}`}
          used={used / data.memory.total_bytes}
        />
        {data.disks.map((disk) => (
          <Gauge
            key={disk.root}
            name={disk.kind === "home" ? "Disk" : `Disk of ${disk.path}`}
            said={`${bytes(disk.free_bytes)} free`}
            used={
              disk.free_bytes === null
                ? null
                : share(disk.total_bytes && disk.total_bytes - disk.free_bytes, disk.total_bytes)
            }
          />
        ))}
      </Stack>
    </Paper>
  );
}

function share(part: number | null, whole: number | null): number | null {
  return part === null || !whole ? null : part / whole;
}
