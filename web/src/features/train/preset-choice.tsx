import { Badge, Group, NativeSelect, ScrollArea, Stack, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { listPresetsOptions } from "@/api/generated/@tanstack/react-query.gen";
import type { PresetOut } from "@/api/generated/types.gen";
import type { Form } from "@/forms/form";
import { Failed, Loading } from "@/shared/states";
import { PresetDetail } from "./preset-detail";
import classes from "./train.module.css";
import { useCheck } from "./use-server-says";

/** Presets for the model of the draft: one's own, then the proposed ones, then the others. */
export function PresetChoice({ form, close }: { form: Form; close: () => void }) {
  const architecture = useCheck(form).data?.architecture ?? undefined;
  const presets = useQuery(listPresetsOptions({ query: { architecture } }));
  const [goal, setGoal] = useState("");
  const [chosen, setChosen] = useState<PresetOut | null>(null);
  if (chosen) return <PresetDetail form={form} preset={chosen} back={() => setChosen(null)} close={close} />;
  if (presets.error) return <Failed error={presets.error} again={presets.refetch} />;
  if (presets.isPending) return <Loading what="the presets" />;
  const all = presets.data.presets;
  const goals = [...new Set(all.map((each) => each.goal).filter(Boolean))];
  const listed = all
    .filter((each) => goal === "" || each.goal === goal || each.own)
    .toSorted((a, b) => Number(b.own) - Number(a.own) || Number(b.proposed) - Number(a.proposed));
  return (
    <Stack gap="sm">
      <Group>
        <NativeSelect
          aria-label="Goal"
          data={[{ value: "", label: "every goal" }, ...goals]}
          value={goal}
          onChange={(event) => setGoal(event.currentTarget.value)}
        />
        <Text size="sm" c="dimmed" flex="1 1 12rem">
          {presets.data.memory_gib === null
            ? "No graphics card was found, so none is proposed."
            : "Proposed: those for this machine's card."}
        </Text>
      </Group>
      <ScrollArea h="22rem" type="auto">
        <Stack gap={6}>
          {listed.map((each) =>
            each.problem ? (
              <BrokenPreset key={each.name} preset={each} />
            ) : (
              <button key={each.name} type="button" className={classes.choice} onClick={() => setChosen(each)}>
                <PresetLine preset={each} />
              </button>
            ),
          )}
          {listed.length === 0 && <Text c="dimmed">There are no presets for this model yet.</Text>}
        </Stack>
      </ScrollArea>
    </Stack>
  );
}

function PresetLine({ preset }: { preset: PresetOut }) {
  return (
    <Group justify="space-between" wrap="nowrap">
      <Stack gap={0} miw={0}>
        <Text size="sm" fw={600} truncate>
          {preset.name}
        </Text>
        <Text size="xs" c="dimmed">
          {preset.title}
        </Text>
      </Stack>
      <Group gap={6} wrap="nowrap">
        {preset.own && (
          <Badge variant="default" tt="none">
            own
          </Badge>
        )}
        {preset.proposed && (
          <Badge variant="light" tt="none">
            proposed
          </Badge>
        )}
        {preset.memory_gb !== null && (
          <Text size="xs" c="dimmed" className="numbers" style={{ whiteSpace: "nowrap" }}>
            {preset.memory_gb} GB
          </Text>
        )}
      </Group>
    </Group>
  );
}

function BrokenPreset({ preset }: { preset: PresetOut }) {
  return (
    <div className={classes.choice}>
      <Text size="sm" fw={600}>
        {preset.name}
      </Text>
      <Text size="xs" c="var(--said-error)">
        {preset.problem}
      </Text>
    </div>
  );
}
