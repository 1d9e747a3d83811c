import { Select, Stack, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { useStore } from "zustand";
import { listPresetsOptions } from "@/api/generated/@tanstack/react-query.gen";
import { compareConfigs } from "@/api/generated/sdk.gen";
import type { Form } from "@/forms/form";
import { Failed, Loading } from "@/shared/states";
import { DifferenceTable } from "./difference-table";

/** The draft against a preset or the defaults; each value can be taken over. */
export function PresetDiff({ form }: { form: Form }) {
  const data = useStore(form.store, (state) => state.data);
  const presets = useQuery(listPresetsOptions());
  const own = typeof data.preset === "string" ? data.preset : "";
  const [other, setOther] = useState(own);
  const diff = useQuery({
    queryKey: ["diff", data, other],
    queryFn: async ({ signal }) => {
      const b = other ? { preset: other } : {};
      return (await compareConfigs({ body: { a: { draft: { data } }, b }, signal })).data.differences;
    },
  });
  const names = (presets.data?.presets ?? []).filter((each) => !each.problem).map((each) => each.name);
  return (
    <Stack gap="md">
      <Select
        label="Compare the draft with"
        data={[{ value: "", label: "the defaults" }, ...names]}
        value={other}
        onChange={(value) => setOther(value ?? "")}
        searchable
        limit={60}
        allowDeselect={false}
      />
      {diff.error && <Failed error={diff.error} again={diff.refetch} />}
      {diff.isPending && <Loading what="the differences" />}
      {diff.data && (
        <>
          <Text size="sm" c="dimmed" aria-live="polite">
            {diff.data.length} settings differ.
          </Text>
          <DifferenceTable
            model={form.model}
            differences={diff.data}
            heads={["Draft", other || "Default"]}
            take={(each) =>
              each.path.endsWith(".type") && typeof each.b === "string"
                ? form.setType(each.path.slice(0, -".type".length), each.b)
                : form.set(each.path, each.b)
            }
          />
        </>
      )}
    </Stack>
  );
}
