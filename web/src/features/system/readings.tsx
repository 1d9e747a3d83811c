import { Stack } from "@mantine/core";
import type { System } from "@/api/generated/types.gen";
import { bytes, memory } from "@/shared/format";
import { Gauge } from "./gauge";

/** Graphics cards, processor, memory and disks, each with a bar. */
export function Readings(props: { system: System }) {
  const { gpus, cores, cpu_percent, memory: main, disks } = props.system;
  return (
    <Stack gap="sm">
      {gpus.map((gpu) => (
        <Gauge
          key={gpu.uuid}
          name={gpu.name}
          said={`${memory(gpu.memory_used_bytes)} of ${memory(gpu.memory_total_bytes)}${gpu.temperature_celsius == null ? "" : ` · ${gpu.temperature_celsius.toFixed(0)} °C`}`}
          used={share(gpu.memory_used_bytes, gpu.memory_total_bytes)}
        />
      ))}
      <Gauge name={`Processor, ${cores} cores`} said={`${cpu_percent.toFixed(0)} %`} used={cpu_percent / 100} />
      <Gauge
        name="Memory"
        said={`${memory(main.used_bytes)} of ${memory(main.total_bytes)}`}
        used={main.used_bytes / main.total_bytes}
      />
      {disks.map((disk) => (
        <Gauge
          key={disk.root}
          name={disk.kind === "home" ? "Disk" : `Disk of ${disk.path}`}
          said={disk.free_bytes === null ? "not there" : `${bytes(disk.free_bytes)} free`}
          used={
            disk.free_bytes === null
              ? null
              : share(disk.total_bytes && disk.total_bytes - disk.free_bytes, disk.total_bytes)
          }
        />
      ))}
    </Stack>
  );
}

function share(part: number | null, whole: number | null): number | null {
  return part === null || !whole ? null : part / whole;
}
