import { Button, Group, NativeSelect, Stack, Text, Title } from "@mantine/core";
import type { OptionOut, Plan } from "@/api/generated/types.gen";
import type { Form } from "@/forms/form";
import { isPlain } from "@/forms/paths";
import { shown } from "@/forms/words";
import { memory } from "@/shared/format";
import { MemoryBar } from "./memory-bar";
import type { Wish } from "./use-server-says";

const CARDS = [6, 8, 12, 16, 24, 32, 48, 80];

/** Graphics memory by phase against a card, and what would make it fit. */
export function MemoryBlock(props: { form: Form; plan: Plan | null; wish: Wish; change: (wish: Wish) => void }) {
  const { form, plan, wish, change } = props;
  const fit = plan?.fit;
  const limit = fit?.limit_bytes ?? plan?.machine.memory_bytes ?? null;
  const here = plan && wish.card === undefined && plan.machine.memory_bytes === null;
  const most = Math.max(limit ?? 0, plan?.peak_bytes ?? 0);
  return (
    <Stack gap="xs">
      <Group justify="space-between" wrap="nowrap">
        <Title order={2} size="h5">
          {here ? "Memory" : "Graphics memory"}
        </Title>
        <NativeSelect
          size="xs"
          aria-label="Planned for"
          value={wish.card ?? ""}
          onChange={({ currentTarget: { value } }) => change({ card: value ? Number(value) : undefined })}
          data={[
            { value: "", label: "this machine" },
            ...CARDS.map((card) => ({ value: String(card), label: `a card of ${card} GB` })),
          ]}
        />
      </Group>
      {plan ? (
        <>
          {Object.entries(plan.memory_bytes).map(([phase, parts]) => (
            <MemoryBar key={phase} phase={phase} parts={parts} most={most} limit={limit} />
          ))}
          {here && (
            <Text size="xs" c="dimmed">
              This machine has no graphics card, so it trains on the processor. Choose a card to plan for another one.
            </Text>
          )}
          {fit && (
            <Text size="sm" c={fit.fits ? undefined : "var(--said-error)"} aria-live="polite">
              {fit.fits
                ? `Fits into ${memory(fit.limit_bytes)}.`
                : `Does not fit: ${memory(fit.peak_bytes)} are needed of ${memory(fit.limit_bytes)}.`}
            </Text>
          )}
          {fit && !fit.fits && fit.enough.length > 0 && (
            <Button
              size="xs"
              variant="light"
              onClick={() => form.apply(fit.enough.flatMap((each) => each.changes))}
              h="auto"
              py={6}
              styles={{ label: { whiteSpace: "normal" } }}
            >
              Make it fit{fit.peak_with_enough_bytes !== null && ` (${memory(fit.peak_with_enough_bytes)})`}
            </Button>
          )}
          {fit && !fit.fits && (
            <Stack gap={6} component="ul" m={0} p={0} style={{ listStyle: "none" }}>
              {shortest(fit.enough.length > 0 ? fit.enough : fit.options).map((option) => (
                <Group
                  key={sayChanges(option)}
                  component="li"
                  justify="space-between"
                  wrap="nowrap"
                  align="flex-start"
                  gap="xs"
                >
                  <Text size="xs">
                    {sayChanges(option)}
                    <Text span c="dimmed" inherit>
                      {" "}
                      saves {memory(option.saves_bytes)}; {option.time}
                    </Text>
                  </Text>
                  <Button
                    size="compact-xs"
                    variant="default"
                    onClick={() => form.apply(option.changes)}
                    style={{ flex: "none" }}
                  >
                    Apply
                  </Button>
                </Group>
              ))}
            </Stack>
          )}
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

  function sayChanges(option: OptionOut): string {
    return option.changes
      .map(({ path, value }) => {
        const label = form.model.byPattern.get(path)?.label ?? form.model.byPattern.get(`${path}.type`)?.label ?? path;
        return `${label}: ${isPlain(value) && "type" in value ? shown(value.type) : shown(value)}`;
      })
      .join(", ");
  }
}

function shortest(options: readonly OptionOut[]): readonly OptionOut[] {
  return options.slice(0, 5);
}
