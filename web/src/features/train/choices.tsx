import { Group, SimpleGrid, Stack, Text } from "@mantine/core";
import type { KeyboardEvent, ReactNode } from "react";
import classes from "./train.module.css";

export interface Choice {
  readonly value: string;
  readonly label: string;
  readonly about?: string;
  readonly side?: ReactNode;
}

/** Cards of which one is chosen; arrows move between them. */
export function Choices(props: {
  label: string;
  choices: readonly Choice[];
  value: string | null;
  set: (value: string) => void;
  cols?: number;
}) {
  const { choices, value, set } = props;
  const isOneChosen = choices.some((each) => each.value === value);
  const onKey = (event: KeyboardEvent<HTMLDivElement>) => {
    const way = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!way) return;
    event.preventDefault();
    const at = choices.findIndex((each) => each.value === value);
    const next = choices[(at + way + choices.length) % choices.length];
    if (!next) return;
    set(next.value);
    event.currentTarget.querySelector<HTMLElement>(`[data-value="${CSS.escape(next.value)}"]`)?.focus();
  };
  return (
    <SimpleGrid
      cols={{ base: 1, xs: 2, md: props.cols ?? 2 }}
      spacing="xs"
      role="radiogroup"
      aria-label={props.label}
      onKeyDown={onKey}
    >
      {choices.map((each, i) => (
        // biome-ignore lint/a11y/useSemanticElements: a card with a picture in it
        <button
          key={each.value}
          type="button"
          role="radio"
          aria-checked={each.value === value}
          tabIndex={each.value === value || (!isOneChosen && i === 0) ? 0 : -1}
          data-value={each.value}
          className={classes.choice}
          onClick={() => set(each.value)}
        >
          <Group gap="sm" wrap="nowrap">
            {each.side}
            <Stack gap={0} miw={0}>
              <Text size="sm" fw={600} truncate>
                {each.label}
              </Text>
              {each.about && (
                <Text size="xs" c="dimmed" className="numbers">
                  {each.about}
                </Text>
              )}
            </Stack>
          </Group>
        </button>
      ))}
    </SimpleGrid>
  );
}
