import { Button, Group, SimpleGrid, Stack, Text } from "@mantine/core";
import { useState } from "react";
import { plural } from "@/shared/format";
import { fileName } from "../addresses";
import { Thumb } from "../thumb";
import type { Box } from "./box";
import { CropDialog } from "./crop-dialog";

const SHOWN = 24;

/** The pictures that were chosen, each of which can be given a frame of its own. */
export function CropChosen(props: {
  datasetId: string;
  items: readonly string[];
  boxes: Readonly<Record<string, Box>>;
  change: (boxes: Record<string, Box>) => void;
}) {
  const [open, setOpen] = useState<string | null>(null);
  const [most, setMost] = useState(SHOWN);
  const framed = props.items.filter((item) => props.boxes[item]).length;
  return (
    <Stack gap="xs" component="section" aria-label="Frames">
      <Text size="sm">
        Click a picture to crop it by hand{framed > 0 && `: ${plural(framed, "has a frame", "have a frame")}`}.
      </Text>
      <SimpleGrid cols={{ base: 4, xs: 6, sm: 8 }} spacing="xs">
        {props.items.slice(0, most).map((item) => (
          <button
            key={item}
            type="button"
            aria-label={`Crop ${item}`}
            onClick={() => setOpen(item)}
            style={{
              aspectRatio: 1,
              padding: 0,
              overflow: "hidden",
              cursor: "pointer",
              borderRadius: 4,
              border: props.boxes[item] ? "2px solid var(--mantine-primary-color-filled)" : "1px solid var(--line)",
            }}
          >
            <Thumb datasetId={props.datasetId} item={item} size={128} />
          </button>
        ))}
      </SimpleGrid>
      {props.items.length > most && (
        <Group>
          <Button size="compact-sm" variant="subtle" onClick={() => setMost(most + 100)}>
            Show more
          </Button>
        </Group>
      )}
      {open !== null && (
        <CropDialog
          key={open}
          datasetId={props.datasetId}
          item={open}
          title={fileName(open)}
          box={props.boxes[open] ?? null}
          close={() => setOpen(null)}
          done={(box) => {
            const { [open]: _gone, ...others } = props.boxes;
            props.change(box ? { ...others, [open]: box } : others);
            setOpen(null);
          }}
        />
      )}
    </Stack>
  );
}
