import { Button, Group, Stack, Tabs, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { createLazyRoute, useNavigate, useParams, useSearch } from "@tanstack/react-router";
import { ImagePlus, Play } from "lucide-react";
import { useCallback, useState } from "react";
import { getDatasetOptions } from "@/api/generated/@tanstack/react-query.gen";
import { BulkEdits } from "@/features/datasets/bulk/bulk-edits";
import { beginWith } from "@/features/datasets/bulk/draft";
import { Buckets } from "@/features/datasets/checks/buckets";
import { Checks } from "@/features/datasets/checks/checks";
import { Numbers } from "@/features/datasets/checks/numbers";
import { CopyForm } from "@/features/datasets/copy/copy-form";
import { Editor } from "@/features/datasets/editor/editor";
import { Unsaved } from "@/features/datasets/editor/unsaved";
import { PicturesView } from "@/features/datasets/gallery/pictures-view";
import { choose, useChosen } from "@/features/datasets/gallery/selection";
import { DatasetSettings } from "@/features/datasets/settings/dataset-settings";
import { Adding } from "@/features/datasets/uploads/adding";
import { bytes, plural } from "@/shared/format";
import { AnchorLink, ButtonLink } from "@/shared/links";
import { PageHead } from "@/shared/page-head";
import { Failed, Loading } from "@/shared/states";
import type { DatasetSearch, Tab } from "./datasets-search";

export const Route = createLazyRoute("/datasets/$datasetId")({ component: Dataset });

const EVERY_MS = 1_000;

/** After the pictures have come: where the way goes on. */
function NextStep(props: { id: string; bare: number }) {
  return (
    <Text size="sm">
      {props.bare > 0
        ? `${plural(props.bare, "picture has", "pictures have")} no caption yet: open one below to write it. Then `
        : "All pictures have captions. Next: "}
      <AnchorLink to="/train" search={{ dataset: props.id }} inherit underline="always">
        train a LoRA with them
      </AnchorLink>
      .
    </Text>
  );
}

const TABS: { value: Tab; label: string }[] = [
  { value: "pictures", label: "Pictures" },
  { value: "edits", label: "Edit captions" },
  { value: "checks", label: "Checks" },
  { value: "buckets", label: "Buckets" },
  { value: "numbers", label: "Numbers" },
  { value: "copy", label: "Crop and convert" },
  { value: "settings", label: "Settings" },
];

function intoSight(tab: HTMLElement | null): void {
  const row = tab?.parentElement;
  if (!tab || !row) return;
  const end = tab.offsetLeft + tab.offsetWidth;
  if (end > row.scrollLeft + row.clientWidth || tab.offsetLeft < row.scrollLeft) row.scrollLeft = end - row.clientWidth;
}

function Dataset() {
  const { datasetId } = useParams({ from: "/datasets/$datasetId" });
  const search = useSearch({ from: "/datasets/$datasetId" });
  const navigate = useNavigate({ from: "/datasets/$datasetId" });
  const [showsArea, setShowsArea] = useState(false);
  const { data, error, isPending, refetch } = useQuery({
    ...getDatasetOptions({ path: { dataset_id: datasetId } }),
    refetchInterval: ({ state }) => (state.data?.looking || state.data?.summary === null ? EVERY_MS : false),
  });
  const change = useCallback(
    (to: Partial<DatasetSearch>) => {
      // Going somewhere is a step that the browser's way back undoes; typing is not.
      const steps = "tab" in to || "item" in to;
      void navigate({ search: (before) => ({ ...before, ...to }), replace: !steps });
    },
    [navigate],
  );
  const changePictures = useCallback(
    ({ query, ...to }: Parameters<Parameters<typeof PicturesView>[0]["change"]>[0]) =>
      change(query === undefined ? to : { ...to, q: query }),
    [change],
  );
  const chosen = useChosen(datasetId);
  const open = (item: string) => change({ tab: "pictures", item });
  if (isPending) return <Loading what="the dataset" />;
  if (error && !data) return <Failed error={error} again={refetch} />;
  const total = data.summary?.pictures ?? 0;
  const isEmpty = data.summary?.pictures === 0;
  return (
    <Stack gap="sm">
      <PageHead
        title={data.name}
        about={
          <Group gap="xs">
            <AnchorLink to="/datasets" inherit>
              All datasets
            </AnchorLink>
            <Text inherit className="numbers">
              {data.summary
                ? `${plural(data.summary.pictures, "picture")} · ${plural(data.summary.captioned, "caption")} · ${bytes(data.summary.bytes)}`
                : data.to_look_at > 0
                  ? `Looking at ${data.looked_at} of ${data.to_look_at} pictures…`
                  : "Looking at the folder…"}
            </Text>
          </Group>
        }
        actions={
          <>
            <Button
              variant="default"
              leftSection={<ImagePlus size={16} aria-hidden />}
              aria-expanded={showsArea || isEmpty}
              onClick={() => setShowsArea(!showsArea)}
            >
              Add pictures
            </Button>
            <ButtonLink to="/train" search={{ dataset: data.id }} leftSection={<Play size={16} aria-hidden />}>
              Train
            </ButtonLink>
          </>
        }
      />
      <Unsaved datasetId={data.id} opened={search.item} open={open} />
      <Adding
        dataset={data}
        showArea={showsArea || isEmpty}
        isEmpty={isEmpty}
        next={data.summary && <NextStep id={data.id} bare={data.summary.pictures - data.summary.captioned} />}
      />
      {!isEmpty && (
        <Tabs value={search.tab} onChange={(tab) => change({ tab: tab as Tab })} keepMounted={false}>
          <Tabs.List style={{ flexWrap: "nowrap", overflowX: "auto", overflowY: "hidden" }} mb="md">
            {TABS.map((tab) => (
              <Tabs.Tab
                key={tab.value}
                value={tab.value}
                style={{ whiteSpace: "nowrap" }}
                // On a phone the row of tabs is wider than the window.
                ref={tab.value === search.tab ? intoSight : undefined}
              >
                {tab.label}
              </Tabs.Tab>
            ))}
          </Tabs.List>
          <Tabs.Panel value="pictures">
            <PicturesView
              datasetId={data.id}
              state={{
                query: search.q,
                sort: search.sort,
                order: search.order,
                size: search.size,
                item: search.item,
              }}
              change={changePictures}
              edit={() => change({ tab: "edits" })}
              copy={() => change({ tab: "copy" })}
              editor={(open) => (
                <Editor
                  datasetId={data.id}
                  {...open}
                  as={search.as ?? (data.caption_style === "prose" ? "text" : "tags")}
                  setAs={(as) => change({ as })}
                  go={(item) => change({ item })}
                />
              )}
            />
          </Tabs.Panel>
          <Tabs.Panel value="edits">
            <BulkEdits datasetId={data.id} query={search.q} chosen={chosen} total={total} />
          </Tabs.Panel>
          <Tabs.Panel value="checks">
            <Checks
              datasetId={data.id}
              root={data.files_root}
              folder={data.files_path}
              kind={search.check}
              setKind={(check) => change({ check })}
              open={open}
              editAll={(items, operation) => {
                choose(data.id, items);
                if (operation) beginWith(data.id, operation);
                change({ tab: "edits" });
              }}
            />
          </Tabs.Panel>
          <Tabs.Panel value="buckets">
            <Buckets datasetId={data.id} query={search.q} open={open} />
          </Tabs.Panel>
          <Tabs.Panel value="numbers">
            <Numbers datasetId={data.id} query={search.q} />
          </Tabs.Panel>
          <Tabs.Panel value="copy">
            <CopyForm datasetId={data.id} name={data.name} query={search.q} chosen={chosen} total={total} />
          </Tabs.Panel>
          <Tabs.Panel value="settings">
            <DatasetSettings dataset={data} />
          </Tabs.Panel>
        </Tabs>
      )}
    </Stack>
  );
}
