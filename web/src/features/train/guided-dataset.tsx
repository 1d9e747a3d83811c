import { Anchor, Group, Skeleton, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { FolderOpen } from "lucide-react";
import { useState } from "react";
import { useStore } from "zustand";
import { listDatasetsOptions } from "@/api/generated/@tanstack/react-query.gen";
import { listPictures } from "@/api/generated/sdk.gen";
import type { DatasetOut } from "@/api/generated/types.gen";
import { serverUrl } from "@/api/setup";
import type { Form } from "@/forms/form";
import { getIn } from "@/forms/paths";
import { plural } from "@/shared/format";
import { AnchorLink, ButtonLink } from "@/shared/links";
import { Empty, Failed } from "@/shared/states";
import { Choices } from "./choices";
import { datasetOf, withDataset, withPrompts } from "./guided-choices";
import classes from "./train.module.css";

const FEW = 6;

/** The dataset: cards with cover and counts, the newest first. */
export function GuidedDataset({ form }: { form: Form }) {
  const { data, error, isPending, refetch } = useQuery(listDatasetsOptions());
  const chosen = useStore(form.store, (state) => datasetOf(state.data));
  const folder = useStore(form.store, (state) => getIn(state.data, "datasets.0.path"));
  const [isAll, setAll] = useState(false);
  if (isPending) return <Skeleton h={82} />;
  if (error) return <Failed error={error} again={refetch} />;
  const sorted = data.datasets.toSorted((a, b) => (b.summary?.changed_ns ?? 0) - (a.summary?.changed_ns ?? 0));
  if (sorted.length === 0) {
    return (
      <Empty icon={FolderOpen} title="No dataset yet" action={<ButtonLink to="/datasets">Add pictures</ButtonLink>}>
        Drop pictures anywhere in this window, or add a folder or an archive.
      </Empty>
    );
  }
  const listed = sorted.filter((each, i) => isAll || i < FEW || each.id === chosen);
  const choose = async (id: string) => {
    const dataset = sorted.find((each) => each.id === id);
    if (!dataset) return;
    form.replace(withDataset(form.state.data, id, dataset.name, []));
    const captions = await captionsOf(id);
    if (datasetOf(form.state.data) === id) form.replace(withPrompts(form.state.data, captions));
  };
  return (
    <>
      <Choices
        label="Pictures"
        value={chosen}
        set={(id) => void choose(id)}
        choices={listed.map((each) => ({
          value: each.id,
          label: each.name,
          about: each.summary
            ? `${plural(each.summary.pictures, "picture")}, ${each.summary.captioned} with captions`
            : "being looked at",
          side: <Cover dataset={each} />,
        }))}
      />
      <Group gap="md">
        {sorted.length > listed.length && (
          <Anchor component="button" size="sm" onClick={() => setAll(true)}>
            Show all {sorted.length}
          </Anchor>
        )}
        <AnchorLink to="/datasets" size="sm">
          Add other pictures
        </AnchorLink>
        {typeof folder === "string" && !chosen && (
          <Text size="sm" c="dimmed">
            Now: the folder {folder}
          </Text>
        )}
      </Group>
    </>
  );
}

function Cover({ dataset }: { dataset: DatasetOut }) {
  const item = dataset.summary?.cover;
  if (!item) return <span className={classes.cover} />;
  const address = `/api/datasets/${dataset.id}/pictures/thumbnail?item=${encodeURIComponent(item)}`;
  return <img className={classes.cover} src={serverUrl(address)} alt="" loading="lazy" />;
}

/** Two captions of a dataset, to make samples of. */
export async function captionsOf(id: string): Promise<string[]> {
  try {
    const { data } = await listPictures({ path: { dataset_id: id }, query: { limit: 12 } });
    const found = data.pictures.map((each) => each.caption?.trim() ?? "").filter((each) => each !== "");
    return [...new Set(found)].slice(0, 2);
  } catch {
    return []; // samples are a help only: without them the training is the same
  }
}
