import { Badge, Button, Checkbox, Group, NativeSelect, ScrollArea, Stack, Text } from "@mantine/core";
import { useMutation, useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { applyPresetMutation, getPresetOptions, listPresetsOptions } from "@/api/generated/@tanstack/react-query.gen";
import type { PresetOut } from "@/api/generated/types.gen";
import type { Form } from "@/forms/form";
import { Failed, Loading } from "@/shared/states";
import { DifferenceTable } from "./difference-table";
import classes from "./train.module.css";
import { useCheck } from "./use-server-says";

/** Presets for the model of the draft, the proposed ones first; what one changes is shown before it is applied. */
export function PresetChoice({ form, close }: { form: Form; close: () => void }) {
  const architecture = useCheck(form).data?.architecture ?? undefined;
  const presets = useQuery(listPresetsOptions({ query: { architecture } }));
  const [goal, setGoal] = useState("");
  const [chosen, setChosen] = useState<PresetOut | null>(null);
  const [keepOwn, setKeepOwn] = useState(true);
  const apply = useMutation({ ...applyPresetMutation(), meta: { tellsItself: true } });
  const facts = useQuery({ ...getPresetOptions({ path: { name: chosen?.name ?? "" } }), enabled: chosen !== null });
  if (presets.error) return <Failed error={presets.error} again={presets.refetch} />;
  if (presets.isPending) return <Loading what="the presets" />;
  const all = presets.data.presets.filter((each) => !each.problem);
  const goals = [...new Set(all.map((each) => each.goal).filter(Boolean))];
  const listed = all
    .filter((each) => goal === "" || each.goal === goal || each.own)
    .toSorted((a, b) => Number(b.own) - Number(a.own) || Number(b.proposed) - Number(a.proposed));
  const look = (preset: PresetOut, keep_own: boolean) => {
    setChosen(preset);
    apply.mutate({ body: { data: { ...form.state.data }, preset: preset.name, keep_own } });
  };
  if (chosen) {
    return (
      <Stack gap="md">
        <Text fw={650}>{chosen.name}</Text>
        {facts.data && facts.data.why.length > 0 && (
          <Text size="sm" c="dimmed">
            {facts.data.why.join(" ")}
          </Text>
        )}
        <Checkbox
          label="Keep settings of mine that the preset says nothing about"
          checked={keepOwn}
          onChange={(event) => {
            setKeepOwn(event.currentTarget.checked);
            look(chosen, event.currentTarget.checked);
          }}
        />
        {apply.error && <Failed error={apply.error} again={() => look(chosen, keepOwn)} />}
        {apply.data ? (
          <DifferenceTable model={form.model} differences={apply.data.differences} heads={["Now", "Then"]} />
        ) : (
          !apply.error && <Loading what="what it changes" />
        )}
        <Group justify="flex-end">
          <Button variant="default" onClick={() => setChosen(null)}>
            Back
          </Button>
          <Button
            disabled={!apply.data}
            onClick={() => {
              if (apply.data) form.replace(apply.data.data);
              close();
            }}
          >
            Apply
          </Button>
        </Group>
      </Stack>
    );
  }
  return (
    <Stack gap="sm">
      <Group>
        <NativeSelect
          aria-label="Goal"
          data={[{ value: "", label: "every goal" }, ...goals]}
          value={goal}
          onChange={(event) => setGoal(event.currentTarget.value)}
        />
        <Text size="sm" c="dimmed">
          {presets.data.memory_gib === null
            ? "No graphics card was found, so none is proposed."
            : "Proposed: those for this machine's card."}
        </Text>
      </Group>
      <ScrollArea h="22rem" type="auto">
        <Stack gap={6}>
          {listed.map((each) => (
            <button key={each.name} type="button" className={classes.choice} onClick={() => look(each, keepOwn)}>
              <Group justify="space-between" wrap="nowrap">
                <Stack gap={0}>
                  <Text size="sm" fw={600}>
                    {each.name}
                  </Text>
                  <Text size="xs" c="dimmed">
                    {each.title}
                  </Text>
                </Stack>
                <Group gap={6} wrap="nowrap">
                  {each.own && (
                    <Badge variant="default" tt="none">
                      own
                    </Badge>
                  )}
                  {each.proposed && (
                    <Badge variant="light" tt="none">
                      proposed
                    </Badge>
                  )}
                  {each.memory_gb !== null && (
                    <Text size="xs" c="dimmed" className="numbers">
                      {each.memory_gb} GB
                    </Text>
                  )}
                </Group>
              </Group>
            </button>
          ))}
          {listed.length === 0 && <Text c="dimmed">There are no presets for this model yet.</Text>}
        </Stack>
      </ScrollArea>
    </Stack>
  );
}
