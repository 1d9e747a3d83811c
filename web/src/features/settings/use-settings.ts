import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import {
  changeTheSettingsMutation,
  readTheSettingsOptions,
  readTheSettingsQueryKey,
} from "@/api/generated/@tanstack/react-query.gen";
import type { Settings } from "@/api/generated/types.gen";
import { problemOf } from "@/api/problem";

/** The settings, and a change of them. Where somebody else was faster, theirs are shown and nothing is written over. */
export function useSettings() {
  const queries = useQueryClient();
  const query = useQuery(readTheSettingsOptions());
  const change = useMutation({
    ...changeTheSettingsMutation(),
    meta: { tellsItself: true },
    onSuccess: (answer) => queries.setQueryData(readTheSettingsQueryKey(), answer),
    onError: (error) => {
      if (problemOf(error).status === 409) void queries.invalidateQueries({ queryKey: readTheSettingsQueryKey() });
    },
  });
  const save = (edit: (before: Settings) => Settings, after?: () => void) => {
    if (!query.data) return;
    const { settings, version } = query.data;
    change.mutate({ body: { settings: edit(settings), version } }, { onSuccess: after });
  };
  return { query, save, error: change.error, isSaving: change.isPending, forget: change.reset };
}
