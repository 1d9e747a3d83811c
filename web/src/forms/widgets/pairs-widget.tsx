import { ActionIcon, Button, Group, Stack, TextInput } from "@mantine/core";
import { Plus, X } from "lucide-react";
import { useState } from "react";
import type { WidgetProps } from "../context";
import { isPlain, isSame } from "../paths";
import { number, parsed } from "../words";

type Pair = readonly [string, string];

/** Names with values. A pair that has no name yet is kept here until it has one. */
export function PairsWidget(props: WidgetProps) {
  const given = isPlain(props.value) ? props.value : {};
  const [typed, setTyped] = useState<readonly Pair[]>(() => pairsOf(given));
  const pairs = isSame(dataOf(typed), given) ? typed : pairsOf(given);
  const take = (next: readonly Pair[]) => {
    setTyped(next);
    const data = dataOf(next);
    props.set(Object.keys(data).length === 0 && !props.isOwn ? undefined : data);
  };
  const change = (at: number, pair: Pair) => take(pairs.map((each, i) => (i === at ? pair : each)));
  return (
    <Stack gap={6} id={props.id} role="group" aria-label={props.field.label} tabIndex={-1}>
      {pairs.map(([name, value], i) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: names may be the same while they are typed
        <Group key={i} gap={6} wrap="nowrap">
          <TextInput
            aria-label={`Name ${i + 1}`}
            placeholder="Name"
            value={name}
            onChange={(event) => change(i, [event.currentTarget.value, value])}
            error={props.hasError}
            flex={1}
          />
          <TextInput
            aria-label={`Value of ${name || `name ${i + 1}`}`}
            placeholder="Value"
            value={value}
            onChange={(event) => change(i, [name, event.currentTarget.value])}
            error={props.hasError}
            flex={1}
          />
          <ActionIcon
            variant="subtle"
            color="gray"
            aria-label={`Remove ${name || `pair ${i + 1}`}`}
            onClick={() => take(pairs.filter((_, at) => at !== i))}
          >
            <X size={16} aria-hidden />
          </ActionIcon>
        </Group>
      ))}
      <Button
        size="compact-sm"
        variant="subtle"
        leftSection={<Plus size={14} aria-hidden />}
        onClick={() => setTyped([...pairs, ["", ""]])}
        style={{ alignSelf: "flex-start" }}
      >
        Add
      </Button>
    </Stack>
  );
}

function pairsOf(data: Readonly<Record<string, unknown>>): Pair[] {
  return Object.entries(data).map(([name, value]) => [
    name,
    typeof value === "number" ? number(value) : typeof value === "string" ? value : JSON.stringify(value),
  ]);
}

function dataOf(pairs: readonly Pair[]): Record<string, unknown> {
  return Object.fromEntries(pairs.filter(([name]) => name !== "").map(([name, value]) => [name, readValue(value)]));
}

function readValue(text: string): unknown {
  if (text === "true" || text === "false") return text === "true";
  if (text === "null") return null;
  if (/^[[{]/.test(text)) {
    try {
      return JSON.parse(text);
    } catch {
      return text;
    }
  }
  const found = parsed(text);
  return typeof found === "number" ? found : text;
}
