import { Alert, Button, Group, TextInput } from "@mantine/core";
import { notifications } from "@mantine/notifications";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { Download, Trash2 } from "lucide-react";
import { useState } from "react";
import { listPresetsOptions, renamePresetMutation } from "@/api/generated/@tanstack/react-query.gen";
import { deletePreset, exportPreset } from "@/api/generated/sdk.gen";
import type { PresetOut } from "@/api/generated/types.gen";
import { problemOf } from "@/api/problem";
import { askDelete } from "@/shared/delete-dialog";
import { saveFile } from "./save-file";

/** Give a preset away as a file; one's own can be called otherwise, and deleted. */
export function PresetTools(props: { preset: PresetOut; renamed: (name: string) => void; gone: () => void }) {
  const { preset, renamed, gone } = props;
  const queries = useQueryClient();
  const refresh = () => void queries.invalidateQueries({ queryKey: listPresetsOptions().queryKey.slice(0, 1) });
  const [name, setName] = useState<string | null>(null);
  const download = useMutation({
    mutationFn: async () => (await exportPreset({ path: { name: preset.name } })).data,
    onSuccess: (file) => saveFile(file.name, file.text),
  });
  const rename = useMutation({
    ...renamePresetMutation(),
    meta: { tellsItself: true },
    onSuccess: (found) => {
      refresh();
      renamed(found.name);
      setName(null);
      notifications.show({ message: `The preset is called ${found.name} now.` });
    },
  });
  return (
    <>
      <Group gap="xs">
        <Button
          size="compact-sm"
          variant="default"
          leftSection={<Download size={14} aria-hidden />}
          loading={download.isPending}
          onClick={() => download.mutate()}
        >
          Share as a file
        </Button>
        {preset.own && (
          <>
            <Button size="compact-sm" variant="default" onClick={() => setName(preset.name)}>
              Rename
            </Button>
            <Button
              size="compact-sm"
              variant="default"
              leftSection={<Trash2 size={14} aria-hidden />}
              onClick={() =>
                askDelete({
                  what: `the preset ${preset.name}`,
                  about: "Drafts that stand on it have to choose another one.",
                  remove: async () => {
                    const { data } = await deletePreset({ path: { name: preset.name } });
                    refresh();
                    gone();
                    return [data.trash_id];
                  },
                  onRestored: refresh,
                })
              }
            >
              Delete
            </Button>
          </>
        )}
      </Group>
      {name !== null && (
        <form
          onSubmit={(event) => {
            event.preventDefault();
            rename.mutate({ path: { name: preset.name }, body: { name } });
          }}
        >
          <Group align="flex-end" gap="xs">
            <TextInput
              label="New name"
              value={name}
              onChange={(event) => setName(event.currentTarget.value)}
              maxLength={80}
              autoFocus
            />
            <Button type="submit" variant="light" loading={rename.isPending} disabled={name.trim() === ""}>
              Rename
            </Button>
          </Group>
        </form>
      )}
      {rename.error && (
        <Alert color="red" title="It was not renamed">
          {problemOf(rename.error).message}
        </Alert>
      )}
    </>
  );
}
