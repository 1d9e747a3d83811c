import { Button, Checkbox, Group, Stack, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { getPresetOptions } from "@/api/generated/@tanstack/react-query.gen";
import { applyPreset } from "@/api/generated/sdk.gen";
import type { PresetOut } from "@/api/generated/types.gen";
import type { Form } from "@/forms/form";
import { Failed, Loading } from "@/shared/states";
import { DifferenceTable } from "./difference-table";
import { PresetTools } from "./preset-tools";

/** One preset: why it is as it is, and what it would change of the draft, before it does. */
export function PresetDetail(props: { form: Form; preset: PresetOut; back: () => void; close: () => void }) {
  const { form, back, close } = props;
  const [name, setName] = useState(props.preset.name);
  const [keepOwn, setKeepOwn] = useState(true);
  const data = form.state.data;
  const facts = useQuery(getPresetOptions({ path: { name } }));
  const applied = useQuery({
    queryKey: ["apply-preset", data, name, keepOwn],
    queryFn: async ({ signal }) =>
      (await applyPreset({ body: { data: { ...data }, preset: name, keep_own: keepOwn }, signal })).data,
    retry: false,
    gcTime: 0,
  });
  return (
    <Stack gap="md">
      <Group justify="space-between" align="flex-start">
        <Text fw={650} style={{ overflowWrap: "anywhere" }}>
          {name}
        </Text>
        <PresetTools key={name} preset={{ ...props.preset, name }} renamed={setName} gone={back} />
      </Group>
      {facts.data && facts.data.why.length > 0 && (
        <Text size="sm" c="dimmed">
          {facts.data.why.join(" ")}
        </Text>
      )}
      <Checkbox
        label="Keep settings of mine that the preset says nothing about"
        checked={keepOwn}
        onChange={(event) => setKeepOwn(event.currentTarget.checked)}
      />
      {applied.error && <Failed error={applied.error} again={() => void applied.refetch()} />}
      {applied.isPending && <Loading what="what it changes" />}
      {applied.data && (
        <DifferenceTable model={form.model} differences={applied.data.differences} heads={["Now", "Then"]} />
      )}
      <Group justify="flex-end">
        <Button variant="default" onClick={back}>
          Back
        </Button>
        <Button
          disabled={!applied.data}
          onClick={() => {
            if (applied.data) form.replace(applied.data.data);
            close();
          }}
        >
          Apply
        </Button>
      </Group>
    </Stack>
  );
}
