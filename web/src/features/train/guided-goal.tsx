import { Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { useStore } from "zustand";
import { listPresetsOptions } from "@/api/generated/@tanstack/react-query.gen";
import type { Form } from "@/forms/form";
import { getIn } from "@/forms/paths";
import { Choices } from "./choices";
import { DEMO, GOALS, presetFor } from "./guided-choices";
import { useCheck } from "./use-server-says";

/** What it is to become: chooses the preset for the model and this machine's card. */
export function GuidedGoal({ form }: { form: Form }) {
  const architecture = useCheck(form).data?.architecture ?? undefined;
  const model = useStore(form.store, (state) => getIn(state.data, "model.path"));
  const preset = useStore(form.store, (state) => state.data.preset);
  const isDemo = model === DEMO;
  const presets = useQuery({
    ...listPresetsOptions({ query: { architecture } }),
    enabled: architecture !== undefined && !isDemo,
  });
  const list = presets.data?.presets ?? [];
  const known = list.find((each) => each.name === preset);
  const [wanted, setWanted] = useState<string | null>(null);
  const goal = known?.goal ?? wanted ?? (isDemo ? "character" : null);
  return (
    <>
      <Choices
        label="Goal"
        cols={4}
        choices={GOALS}
        value={goal}
        set={(value) => {
          setWanted(value);
          const found = isDemo ? null : presetFor(list, value);
          if (found) form.set("preset", found);
        }}
      />
      <Text size="xs" c="dimmed">
        {isDemo
          ? "The demo model is too small for presets; it has settings of its own."
          : known
            ? `Preset ${known.name}.`
            : architecture === undefined
              ? "Presets are known when there is a base model."
              : "Choose one, or the defaults hold."}
      </Text>
    </>
  );
}
