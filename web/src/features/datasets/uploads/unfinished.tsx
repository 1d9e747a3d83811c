import { Alert, Button, Group, Stack, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useRef, useState } from "react";
import { listUploadsOptions } from "@/api/generated/@tanstack/react-query.gen";
import { serverUrl } from "@/api/setup";
import type { DroppedFile } from "@/shared/dropped";
import { bytes, plural } from "@/shared/format";
import { droppedOf } from "./dropped";
import { useSending } from "./store";
import type { Target } from "./uploader";

const MOST = 1000;

/** Uploads that a reload or a crash cut off: the browser has forgotten the files, the server has kept what came. */
export function Unfinished(props: { target: Target; add: (dropped: DroppedFile[]) => void }) {
  const { target } = props;
  const input = useRef<HTMLInputElement>(null);
  const [isBusy, setBusy] = useState(false);
  const isSending = useSending((state) => (state.of[target.datasetId]?.rows.length ?? 0) > 0);
  const { data, refetch } = useQuery({ ...listUploadsOptions({ query: { limit: MOST } }), enabled: !isSending });
  if (isSending) return null;
  const own = (data?.uploads ?? []).filter(
    (each) =>
      each.root === target.root &&
      (target.folder === "" || each.folder === target.folder || each.folder.startsWith(`${target.folder}/`)),
  );
  if (own.length === 0) return null;
  const arrived = own.reduce((sum, each) => sum + each.offset_bytes, 0);
  const total = own.reduce((sum, each) => sum + each.size_bytes, 0);
  async function discard() {
    setBusy(true);
    try {
      for (const each of own) {
        await fetch(serverUrl(`/api/uploads/${each.id}`), {
          method: "DELETE",
          headers: { "Tus-Resumable": "1.0.0", "X-Loratory": "browser" },
        });
      }
    } finally {
      await refetch();
      setBusy(false);
    }
  }
  return (
    <Alert color="blue" title={`${plural(own.length, "upload")} did not arrive whole`} p="sm">
      <Stack gap="xs">
        <Text size="sm" className="numbers" style={{ overflowWrap: "anywhere" }}>
          {own
            .slice(0, 3)
            .map((each) => each.name)
            .join(", ")}
          {own.length > 3 && ` and ${own.length - 3} more`}. {bytes(arrived)} of {bytes(total)} are there: pick or drop
          the same files, and they go on from where they were.
        </Text>
        <Group gap="xs">
          <Button size="xs" variant="default" onClick={() => input.current?.click()}>
            Pick the same files
          </Button>
          <Button size="xs" variant="subtle" onClick={discard} loading={isBusy}>
            Forget them
          </Button>
        </Group>
      </Stack>
      <input
        ref={input}
        type="file"
        multiple
        hidden
        aria-label="The same files"
        data-testid="pick-same"
        onChange={(event) => {
          // Files of a folder are picked without it: the server knows where each belongs.
          const places = new Map(own.map((each) => [`${each.name} ${each.size_bytes}`, each.folder]));
          const picked = droppedOf([...(event.currentTarget.files ?? [])]).map((each) => {
            const folder = places.get(`${each.file.name} ${each.file.size}`);
            const below = folder?.slice(target.folder.length).replace(/^\//, "");
            return below ? { ...each, path: `${below}/${each.file.name}` } : each;
          });
          event.currentTarget.value = "";
          props.add(picked);
        }}
      />
    </Alert>
  );
}
