import { ActionIcon, Group, Slider, Text } from "@mantine/core";
import { ChevronLeft, ChevronRight } from "lucide-react";
import { count } from "@/shared/format";

interface Props {
  steps: readonly number[];
  step: number;
  onChange: (step: number) => void;
  label?: string;
}

/** Moves over the steps that have samples, whatever lies between them. */
export function StepSlider({ steps, step, onChange, label = "Step of the samples" }: Props) {
  const place = Math.max(0, steps.indexOf(step));
  const go = (to: number) => {
    const found = steps[to];
    if (found !== undefined && found !== step) onChange(found);
  };
  const last = steps.length - 1;
  return (
    <Group gap="xs" wrap="nowrap" w="100%" maw="44rem" miw={0}>
      <ActionIcon variant="default" aria-label="Earlier step" disabled={place === 0} onClick={() => go(place - 1)}>
        <ChevronLeft size={18} aria-hidden />
      </ActionIcon>
      <Slider
        flex={1}
        miw="4rem"
        min={0}
        max={Math.max(1, last)}
        disabled={last < 1}
        value={place}
        label={(at) => count(steps[at])}
        marks={last <= 24 ? steps.map((_, value) => ({ value })) : undefined}
        onChange={go}
        thumbLabel={label}
      />
      <ActionIcon variant="default" aria-label="Later step" disabled={place === last} onClick={() => go(place + 1)}>
        <ChevronRight size={18} aria-hidden />
      </ActionIcon>
      <Text size="sm" className="numbers" w="5.5rem" style={{ whiteSpace: "nowrap" }}>
        Step {count(step)}
      </Text>
    </Group>
  );
}
