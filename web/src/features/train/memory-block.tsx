import { Group, NativeSelect, Stack, Text, Title } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { systemOptions } from "@/api/generated/@tanstack/react-query.gen";
import type { Plan } from "@/api/generated/types.gen";
import type { Form } from "@/forms/form";
import { memory } from "@/shared/format";
import { MemoryFit } from "./memory-fit";
import { MemoryPhases } from "./memory-phases";
import type { Wish } from "./use-server-says";

const CARDS = [6, 8, 12, 16, 24, 32, 48, 80];

/** Graphics memory against a card, or without one the machine's own, and what would make it fit. */
export function MemoryBlock(props: { form: Form; plan: Plan | null; wish: Wish; change: (wish: Wish) => void }) {
  const { form, plan, wish, change } = props;
  const system = useQuery({ ...systemOptions(), staleTime: 30_000 });
  const fit = plan?.fit;
  const hasNoCard = plan !== null && wish.card === undefined && plan.machine.memory_bytes === null;
  const own = system.data?.memory.total_bytes ?? null;
  const limit = hasNoCard ? own : (fit?.limit_bytes ?? plan?.machine.memory_bytes ?? null);
  return (
    <Stack gap="xs">
      <Group justify="space-between" wrap="nowrap">
        <Title order={2} size="h5">
          {hasNoCard ? "Memory" : "Graphics memory"}
        </Title>
        <NativeSelect
          size="xs"
          aria-label="Planned for"
          value={wish.card ?? ""}
          onChange={({ currentTarget: { value } }) => change({ card: value ? Number(value) : undefined })}
          data={[
            { value: "", label: "this machine" },
            ...CARDS.map((card) => ({ value: String(card), label: `${card} GB card` })),
          ]}
        />
      </Group>
      {plan ? (
        <>
          <MemoryPhases plan={plan} limit={limit} />
          {hasNoCard && (
            <Text size="xs" c="dimmed">
              No graphics card here: it trains on the processor, with {memory(own)} of the machine's memory.
            </Text>
          )}
          {fit && <MemoryFit form={form} fit={fit} />}
          {plan.notes.map((note) => (
            <Text key={note} size="xs" c="dimmed">
              {note}
            </Text>
          ))}
        </>
      ) : (
        <Text size="sm" c="dimmed">
          Known when there is a model and a dataset.
        </Text>
      )}
    </Stack>
  );
}
