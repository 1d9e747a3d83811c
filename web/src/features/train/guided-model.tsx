import { Select, Skeleton, Stack, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Box, Download } from "lucide-react";
import { useStore } from "zustand";
import { listArchitecturesOptions, listModelsOptions } from "@/api/generated/@tanstack/react-query.gen";
import type { Form } from "@/forms/form";
import { getIn } from "@/forms/paths";
import { bytes } from "@/shared/format";
import { Failed } from "@/shared/states";
import { type Choice, Choices } from "./choices";
import { DEMO, withModel } from "./guided-choices";

/** Models of this machine as cards; those that would be downloaded in a list. */
export function GuidedModel({ form }: { form: Form }) {
  const local = useQuery(listModelsOptions({ query: { kind: "model" } }));
  const known = useQuery({ ...listArchitecturesOptions(), staleTime: 60_000 });
  const path = useStore(form.store, (state) => getIn(state.data, "model.path"));
  const value = typeof path === "string" ? path : null;
  if (local.isPending || known.isPending) return <Skeleton h={110} />;
  const error = local.error ?? known.error;
  if (error || !known.data) return <Failed error={error} again={() => void local.refetch()} />;
  const titles = new Map(known.data.map((each) => [each.name, each.title]));
  const here: Choice[] = (local.data?.models ?? []).map((each) => ({
    value: each.path,
    label: each.title || each.relative,
    about: `${titles.get(each.architecture ?? "") ?? "unknown kind"}, ${bytes(each.bytes)}`,
    side: <Box size={20} aria-hidden />,
  }));
  const demo: Choice = {
    value: DEMO,
    label: "Demo model",
    about: "comes along, small; learns in a minute without a card",
    side: <Box size={20} aria-hidden />,
  };
  const listed = here.some((each) => each.value === DEMO) ? here : [demo, ...here];
  const remote = known.data.filter((each) => !each.present);
  const chosen = remote.find((each) => each.repository === value);
  const architectureOf = (model: string) => remote.find((each) => each.name === model)?.name ?? null;
  return (
    <Stack gap="sm">
      <Choices
        label="Base model"
        choices={listed.slice(0, 8)}
        value={value}
        set={(model) => form.replace(withModel(form.state.data, model, null))}
      />
      <Select
        label="Or one that is downloaded when the training starts"
        placeholder="Stable Diffusion XL, Flux.1 and others"
        data={remote.map((each) => ({
          value: each.name,
          label: `${each.title} (${each.repository})${each.gated ? ", needs a token" : ""}`,
        }))}
        value={
          remote.find((each) => each.repository === value && each.name === getIn(form.state.data, "model.architecture"))
            ?.name ??
          chosen?.name ??
          null
        }
        onChange={(name) => {
          const model = remote.find((each) => each.name === name);
          if (model) form.replace(withModel(form.state.data, model.repository, architectureOf(model.name)));
        }}
        leftSection={<Download size={16} aria-hidden />}
        searchable
        allowDeselect={false}
      />
      {value && !chosen && !listed.some((each) => each.value === value) && (
        <Text size="sm" c="dimmed">
          Now: {value}
        </Text>
      )}
      {chosen?.gated && (
        <Text size="sm" c="dimmed">
          Its owner wants you to accept a licence ({chosen.licence}); a token from Settings shows that you did.
        </Text>
      )}
    </Stack>
  );
}
