import { Alert, Button, Group, Stack, TextInput } from "@mantine/core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { importPresetMutation, listPresetsOptions } from "@/api/generated/@tanstack/react-query.gen";
import { problemOf } from "@/api/problem";
import type { SentFile } from "./dropped-files";

/** A preset that somebody shared as a file: under a name of its own among the others. */
export function ImportPreset({ file, close }: { file: SentFile; close: () => void }) {
  const queries = useQueryClient();
  const [name, setName] = useState(file.name.replace(/\.ya?ml$/i, ""));
  const save = useMutation({
    ...importPresetMutation(),
    meta: { tellsItself: true },
    onSuccess: () => queries.invalidateQueries({ queryKey: listPresetsOptions().queryKey.slice(0, 1) }),
  });
  const problem = save.error ? problemOf(save.error) : null;
  const go = (replace: boolean) => save.mutate({ body: { name, text: file.text ?? "", replace } });
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        go(false);
      }}
    >
      <Stack gap="md">
        <TextInput
          label="Name of the preset"
          value={name}
          onChange={(event) => setName(event.currentTarget.value)}
          required
          maxLength={80}
          data-autofocus
        />
        {problem && (
          <Alert color={problem.code === "name_taken" ? "orange" : "red"} title="It was not saved">
            {problem.message}
          </Alert>
        )}
        {save.data && (
          <Alert color="teal" title={`${save.data.name} is saved`}>
            It is in the list of presets now.
          </Alert>
        )}
        <Group justify="flex-end">
          <Button variant="default" onClick={close}>
            {save.data ? "Close" : "Cancel"}
          </Button>
          {problem?.code === "name_taken" && (
            <Button variant="default" onClick={() => go(true)}>
              Replace it
            </Button>
          )}
          {!save.data && (
            <Button type="submit" disabled={name.trim() === ""} loading={save.isPending}>
              Save preset
            </Button>
          )}
        </Group>
      </Stack>
    </form>
  );
}
