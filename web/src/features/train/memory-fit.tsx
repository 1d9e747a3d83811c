import { Button, Group, Stack, Text } from "@mantine/core";
import type { FitOut, OptionOut } from "@/api/generated/types.gen";
import type { Form } from "@/forms/form";
import { isPlain } from "@/forms/paths";
import { shown } from "@/forms/words";
import { memory } from "@/shared/format";

const MOST_OPTIONS = 5;

/** Does it fit on the card, and what makes it fit. */
export function MemoryFit({ form, fit }: { form: Form; fit: FitOut }) {
  const options = (fit.enough.length > 0 ? fit.enough : fit.options).slice(0, MOST_OPTIONS);
  return (
    <>
      <Text size="sm" c={fit.fits ? undefined : "var(--said-error)"} aria-live="polite">
        {fit.fits
          ? `Fits into ${memory(fit.limit_bytes)}.`
          : `Does not fit: ${memory(fit.peak_bytes)} are needed of ${memory(fit.limit_bytes)}.`}
      </Text>
      {!fit.fits && fit.enough.length > 0 && (
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
      {!fit.fits && (
        <Stack gap={6} component="ul" m={0} p={0} style={{ listStyle: "none" }}>
          {options.map((option) => (
            <Group
              key={sayChanges(form, option)}
              component="li"
              justify="space-between"
              wrap="nowrap"
              align="flex-start"
              gap="xs"
            >
              <Text size="xs">
                {sayChanges(form, option)}
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
    </>
  );
}

function sayChanges(form: Form, option: OptionOut): string {
  return option.changes
    .map(({ path, value }) => {
      const label = form.model.byPattern.get(path)?.label ?? form.model.byPattern.get(`${path}.type`)?.label ?? path;
      return `${label}: ${isPlain(value) && "type" in value ? shown(value.type) : shown(value)}`;
    })
    .join(", ");
}
