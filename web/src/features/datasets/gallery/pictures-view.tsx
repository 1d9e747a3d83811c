import { Box, Button, Drawer, Skeleton, Stack } from "@mantine/core";
import { useMediaQuery } from "@mantine/hooks";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { SearchX, Tags } from "lucide-react";
import { type ReactNode, useCallback, useMemo, useState } from "react";
import { listPicturePathsOptions } from "@/api/generated/@tanstack/react-query.gen";
import { trashDatasetPictures } from "@/api/generated/sdk.gen";
import type { PictureOut } from "@/api/generated/types.gen";
import { askDelete } from "@/shared/delete-dialog";
import { plural } from "@/shared/format";
import { useShortcut } from "@/shared/shortcuts";
import { Empty, Failed } from "@/shared/states";
import { fileName } from "../addresses";
import { refreshDataset } from "../refresh";
import { type CardSize, Gallery } from "./gallery";
import type { Asked } from "./pictures-page";
import classes from "./pictures-view.module.css";
import { QueryBar } from "./query-bar";
import { clicked } from "./query-edit";
import { choose, extend, invert, toggle, useChosen } from "./selection";
import { SelectionBar } from "./selection-bar";
import { TagPanel } from "./tag-panel";
import { usePictures } from "./use-pictures";

const NOTHING: ReadonlySet<string> = new Set();

/** What of the gallery is in the address. */
export interface PicturesState extends Asked {
  size: CardSize;
  item: string | undefined;
}

/** What the gallery tells the editor of the picture that is open. */
export interface OpenPicture {
  item: string;
  /** All pictures of the query, in its order. */
  paths: readonly string[];
  /** Pictures that went to the trash since. */
  gone: ReadonlySet<string>;
  remove: (item: string, next: string | undefined) => void;
  filter: (tag: string) => void;
}

export function PicturesView(props: {
  datasetId: string;
  state: PicturesState;
  change: (to: Partial<PicturesState>) => void;
  edit: () => void;
  copy: () => void;
  editor: (open: OpenPicture) => ReactNode;
}) {
  const { datasetId, state, change } = props;
  const queries = useQueryClient();
  const isNarrow = useMediaQuery("(max-width: 62em)", false, { getInitialValueInEffect: false });
  const [showsTags, setShowsTags] = useState(false);
  const [gone, setGone] = useState<ReadonlySet<string>>(NOTHING);
  const asked = useMemo(
    () => ({ query: state.query, sort: state.sort, order: state.order }),
    [state.query, state.sort, state.order],
  );
  const { total, picture, look, first, wrong } = usePictures(datasetId, asked);
  const chosen = useChosen(datasetId);
  const pathsOptions = listPicturePathsOptions({ path: { dataset_id: datasetId }, query: asked });
  const paths = useQuery({ ...pathsOptions, enabled: state.item !== undefined });
  const allPaths = useCallback(
    () => queries.fetchQuery({ ...pathsOptions, staleTime: 5_000 }),
    [queries, pathsOptions],
  );

  const group = "Pictures";
  const noItem = state.item === undefined;
  const all = async () => choose(datasetId, [...chosen, ...(await allPaths())]);
  const flip = async () => invert(datasetId, await allPaths());
  useShortcut("mod+a", "Choose all pictures", () => void all(), { group, enabled: noItem });
  useShortcut("mod+i", "Choose the other pictures", () => void flip(), { group, enabled: noItem });
  useShortcut("escape", "Choose none", () => choose(datasetId, []), { group, enabled: noItem && chosen.size > 0 });
  useShortcut("delete", "Move chosen pictures to the trash", () => remove([...chosen]), {
    group,
    enabled: noItem && chosen.size > 0,
  });

  async function click(one: PictureOut, place: number, how: "toggle" | "extend") {
    if (how === "toggle") toggle(datasetId, one.path, place);
    else extend(datasetId, await allPaths(), place);
  }
  function remove(items: string[], next?: string) {
    if (items.length === 0) return;
    askDelete({
      what: items.length === 1 ? fileName(items[0] ?? "") : plural(items.length, "picture"),
      about: "Captions and masks go with them.",
      remove: async () => {
        const { data: trashed } = await trashDatasetPictures({ path: { dataset_id: datasetId }, body: { items } });
        choose(datasetId, []);
        setGone((before) => new Set([...before, ...items]));
        if (state.item) change({ item: next });
        await refreshDataset(queries, datasetId);
        return trashed.map((each) => each.id);
      },
      onRestored: () => {
        setGone(NOTHING);
        void refreshDataset(queries, datasetId);
      },
    });
  }
  const tags = <TagPanel datasetId={datasetId} query={state.query} onQuery={(query) => change({ query })} />;
  return (
    <div className={classes.view}>
      {!isNarrow && <aside className={classes.tags}>{tags}</aside>}
      <Stack gap="xs" className={classes.main}>
        <QueryBar asked={asked} size={state.size} error={wrong} change={change} />
        {isNarrow && (
          <Box>
            <Button
              size="xs"
              variant="default"
              leftSection={<Tags size={14} aria-hidden />}
              onClick={() => setShowsTags(true)}
            >
              Filter by tags
            </Button>
            <Drawer
              opened={showsTags}
              onClose={() => setShowsTags(false)}
              title="Filter by tags"
              closeButtonProps={{ "aria-label": "Close" }}
              styles={{ body: { height: "calc(100dvh - 4rem)" } }}
            >
              {tags}
            </Drawer>
          </Box>
        )}
        <SelectionBar
          chosen={chosen.size}
          total={total}
          isFiltered={state.query !== "" && wrong === null}
          all={() => void all()}
          invert={() => void flip()}
          none={() => choose(datasetId, [])}
          edit={props.edit}
          copy={props.copy}
          remove={() => remove([...chosen])}
        />
        <div className={classes.grid} data-stale={first.isPlaceholderData || wrong !== null || undefined}>
          {first.error ? (
            <Failed error={first.error} again={first.refetch} />
          ) : first.isPending ? (
            <Skeleton h="100%" role="status" aria-label="Loading pictures" />
          ) : total === 0 ? (
            <Empty icon={SearchX} title="No picture is found">
              {state.query ? "Change the search, or empty it to see all pictures." : "Drop pictures above to begin."}
            </Empty>
          ) : (
            <Gallery
              datasetId={datasetId}
              total={total}
              size={state.size}
              picture={picture}
              look={look}
              chosen={chosen}
              open={(item) => change({ item })}
              click={(one, place, how) => void click(one, place, how)}
            />
          )}
        </div>
      </Stack>
      {state.item !== undefined &&
        props.editor({
          item: state.item,
          paths: paths.data ?? [],
          gone,
          remove: (item, next) => remove([item], next),
          filter: (tag) => change({ item: undefined, query: clicked("", tag, "and") }),
        })}
    </div>
  );
}
