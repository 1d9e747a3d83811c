import { Alert, Button, Group, Stack, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useRef, useState } from "react";
import { listUploadsOptions } from "@/api/generated/@tanstack/react-query.gen";
import type { DroppedFile } from "@/shared/dropped";
import { bytes, count, plural } from "@/shared/format";
import { begunOf, useBegun } from "./begun";
import { droppedOf } from "./dropped";
import { isSentElsewhere } from "./other-tabs";
import { useSending } from "./store";
import { begunOfPart, partsFor, type Target } from "./upload-files";
import type { Uploader } from "./uploader";

const MOST = 1000;
const SHOWN = 3;
const ASKED_EVERY_MS = 1_500;

/** Files that a reload or a crash cut off: the browser has forgotten them, what came of them is kept. */
export function Unfinished(props: { target: Target; uploader: Uploader; add: (dropped: DroppedFile[]) => void }) {
  const { target, uploader } = props;
  const files = useRef<HTMLInputElement>(null);
  const folder = useRef<HTMLInputElement>(null);
  const [isBusy, setBusy] = useState(false);
  const isSending = useSending((state) => (state.of[target.datasetId]?.rows.length ?? 0) > 0);
  const begun = useBegun((state) => state.of[target.datasetId]) ?? begunOf(target.datasetId);
  const { data, refetch } = useQuery({
    ...listUploadsOptions({ query: { limit: MOST } }),
    enabled: !isSending,
    refetchInterval: ({ state }) => (state.data?.uploads.some((each) => each.arriving) ? ASKED_EVERY_MS : false),
  });
  const elsewhere = useQuery({
    queryKey: ["uploads-elsewhere", target.datasetId],
    queryFn: () => isSentElsewhere(target.datasetId),
    enabled: !isSending,
    refetchInterval: ({ state }) => (state.data ? ASKED_EVERY_MS : false),
    staleTime: 0,
  });
  if (isSending || !data || elsewhere.data === undefined) return null;

  const parts = partsFor(target, data.uploads);
  const known = new Map(parts.map((each) => [begunOfPart(each, target).path, each]));
  const missing = [
    ...begun.filter((each) => !each.arrived && !known.has(each.path)),
    ...parts.map((each) => begunOfPart(each, target)),
  ];
  if (missing.length === 0) return null;
  if (elsewhere.data || parts.some((each) => each.arriving)) {
    return (
      <Alert color="gray" title="Files are on their way here" p="sm">
        <Text size="sm">Another tab or another person is uploading to this dataset.</Text>
      </Alert>
    );
  }
  const arrived = parts.reduce((sum, each) => sum + each.offset_bytes, 0);
  const total = missing.reduce((sum, each) => sum + each.bytes, 0);
  async function discard() {
    setBusy(true);
    try {
      await uploader.forgetParts();
    } finally {
      await refetch();
      setBusy(false);
    }
  }
  function picked(input: HTMLInputElement) {
    const found = droppedOf([...(input.files ?? [])]);
    input.value = ""; // the same may be picked again
    props.add(found);
  }
  return (
    <Alert color="blue" title={`${plural(missing.length, "upload")} did not arrive whole`} p="sm">
      <Stack gap="xs">
        <Text size="sm" className="numbers" style={{ overflowWrap: "anywhere" }}>
          {missing
            .slice(0, SHOWN)
            .map((each) => each.path)
            .join(", ")}
          {missing.length > SHOWN && ` and ${count(missing.length - SHOWN)} more`}. {bytes(arrived)} of {bytes(total)}{" "}
          are there: pick or drop the same files or their folder, and only the rest is sent.
        </Text>
        <Group gap="xs">
          <Button size="xs" variant="default" onClick={() => files.current?.click()}>
            Pick the same files
          </Button>
          <Button size="xs" variant="default" onClick={() => folder.current?.click()}>
            Pick their folder
          </Button>
          <Button size="xs" variant="subtle" onClick={discard} loading={isBusy}>
            Forget them
          </Button>
        </Group>
      </Stack>
      <input
        ref={files}
        type="file"
        multiple
        hidden
        aria-label="The same files"
        data-testid="pick-same"
        onChange={(event) => picked(event.currentTarget)}
      />
      <input
        ref={(input) => {
          folder.current = input;
          input?.setAttribute("webkitdirectory", "");
        }}
        type="file"
        hidden
        aria-label="The same folder"
        data-testid="pick-same-folder"
        onChange={(event) => picked(event.currentTarget)}
      />
    </Alert>
  );
}
