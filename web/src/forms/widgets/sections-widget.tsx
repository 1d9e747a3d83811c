import { Button, Stack } from "@mantine/core";
import { Plus } from "lucide-react";
import { useCallback, useMemo } from "react";
import { useFormState, type WidgetProps } from "../context";
import { groupsOf } from "../fields";
import type { FormState } from "../form";
import { getIn } from "../paths";
import { type Change, SectionEntry } from "./section-entry";

/** A list of sections, such as datasets: each with its own fields. */
export function SectionsWidget({ form, field, path, id }: WidgetProps) {
  const number = useFormState((state) => entriesOf(state, path).length);
  const groups = useMemo(() => groupsOf(field.children), [field.children]);
  const one = singular(field.label);
  const change = useCallback(
    (how: Change, at: number) => form.set(path, changed(entriesOf(form.state, path), how, at)),
    [form, path],
  );
  return (
    <Stack gap="sm">
      {Array.from({ length: number }, (_, i) => (
        <SectionEntry
          // biome-ignore lint/suspicious/noArrayIndexKey: entries have no other name than their place
          key={i}
          name={`${one} ${i + 1}`}
          prefix={`${path}.${i}.`}
          groups={groups}
          at={i}
          isLast={i === number - 1}
          change={change}
        />
      ))}
      <Button
        id={id}
        variant="default"
        size="xs"
        leftSection={<Plus size={14} aria-hidden />}
        onClick={() => form.set(path, [...entriesOf(form.state, path), {}])}
        style={{ alignSelf: "flex-start" }}
      >
        Add {one.charAt(0).toLowerCase() + one.slice(1)}
      </Button>
    </Stack>
  );
}

const NONE: readonly unknown[] = [];

function entriesOf(state: FormState, path: string): readonly unknown[] {
  const found = getIn(state.data, path);
  return Array.isArray(found) ? found : NONE;
}

export function changed(entries: readonly unknown[], how: Change, at: number): unknown[] {
  if (how === "copy") return entries.toSpliced(at, 0, entries[at]);
  const left = entries.toSpliced(at, 1);
  return how === "remove" ? left : left.toSpliced(at + (how === "up" ? -1 : 1), 0, entries[at]);
}

const SINGULAR: Readonly<Record<string, string>> = {
  "LoRAs merged into the model": "LoRA",
  "Phases of linear layers": "Phase of linear layers",
  "Phases of convolutions": "Phase of convolutions",
  "Steps of one's own": "Step",
};

function singular(label: string): string {
  return SINGULAR[label] ?? (label.endsWith("s") ? label.slice(0, -1) : label);
}
