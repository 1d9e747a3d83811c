import { Alert, Button, Group, Stack, Text, TextInput } from "@mantine/core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { listPresetsOptions, savePresetMutation } from "@/api/generated/@tanstack/react-query.gen";
import { problemOf } from "@/api/problem";
import type { Plain } from "@/forms/paths";

/** Make a preset of how a draft trains: no names, no paths, nothing of the pictures. */
export function PresetForm(props: { data: Plain; name?: string }) {
  const queries = useQueryClient();
  const [name, setName] = useState(props.name ?? "");
  const [title, setTitle] = useState("");
  const save = useMutation({
    ...savePresetMutation(),
    meta: { tellsItself: true },
    onSuccess: () => queries.invalidateQueries({ queryKey: listPresetsOptions().queryKey.slice(0, 1) }),
  });
  const problem = save.error ? problemOf(save.error) : null;
  const go = (replace: boolean) => save.mutate({ body: { data: { ...props.data }, name, title, replace } });
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        go(false);
      }}
    >
      <Stack gap="md">
        <Text size="sm" c="dimmed">
          How to train is kept; the job's name, its model, its pictures and its folders are not.
        </Text>
        <TextInput
          label="Name"
          value={name}
          onChange={(event) => setName(event.currentTarget.value)}
          required
          maxLength={80}
        />
        <TextInput
          label="What it is for"
          value={title}
          onChange={(event) => setTitle(event.currentTarget.value)}
          maxLength={200}
        />
        {problem && (
          <Alert color={problem.code === "name_taken" ? "orange" : "red"} title="It was not saved">
            {problem.message}
          </Alert>
        )}
        {save.data && (
          <Alert color="teal" title={`${save.data.preset.name} is saved`}>
            {save.data.left_out.length > 0 ? save.data.left_out.join(" ") : "It is in the list of presets now."}
          </Alert>
        )}
        <Group justify="flex-end">
          {problem?.code === "name_taken" && (
            <Button variant="default" onClick={() => go(true)}>
              Replace it
            </Button>
          )}
          <Button type="submit" variant="light" disabled={name.trim() === ""} loading={save.isPending}>
            Save preset
          </Button>
        </Group>
      </Stack>
    </form>
  );
}
