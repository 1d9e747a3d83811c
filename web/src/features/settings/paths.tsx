import { Stack } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { systemOptions } from "@/api/generated/@tanstack/react-query.gen";
import { RowSkeletons } from "@/shared/skeletons";
import { Failed } from "@/shared/states";
import { Folders } from "./folders";
import { useSettings } from "./use-settings";

/** Folders that Loratory may look into beside its own. */
export function Paths() {
  const { query, save, error, isSaving, forget } = useSettings();
  const { data: system } = useQuery(systemOptions());
  if (query.error && !query.data) return <Failed error={query.error} again={query.refetch} />;
  if (!query.data) return <RowSkeletons what="the settings" rows={3} height={96} />;
  const paths = query.data.settings.paths ?? {};
  const change = (kind: "datasets" | "models") => (folders: string[], done: () => void) =>
    save((before) => ({ ...before, paths: { ...before.paths, [kind]: folders } }), done);
  const own = system?.disks.find((disk) => disk.kind === "home")?.path;
  const disks = system?.disks ?? [];
  return (
    <Stack gap="lg">
      <Folders
        kind="datasets"
        title="Folders of datasets"
        about="Each folder in one of them is a dataset. Captions and pictures in them can be changed here."
        own={own && `${own}/datasets`}
        folders={paths.datasets ?? []}
        disks={disks}
        change={change("datasets")}
        error={error}
        isSaving={isSaving}
        forget={forget}
      />
      <Folders
        kind="models"
        title="Folders of models"
        about="Base models, VAEs and LoRA files in them, and in folders below, are found."
        own={own && `${own}/models`}
        folders={paths.models ?? []}
        disks={disks}
        change={change("models")}
        error={error}
        isSaving={isSaving}
        forget={forget}
      />
    </Stack>
  );
}
