import { Stack, Text } from "@mantine/core";
import type { PlacedOut } from "@/api/generated/types.gen";
import { fileName } from "../addresses";
import { Thumb } from "../thumb";
import classes from "./crop-preview.module.css";

/** A picture with what its bucket leaves of it drawn over it. */
export function CropPreview(props: { datasetId: string; placed: PlacedOut; open: (item: string) => void }) {
  const { placed } = props;
  const [left, top, right, bottom] = placed.box ?? [0, 0, placed.width, placed.height];
  const share = (part: number, whole: number) => `${(100 * part) / whole}%`;
  const said =
    placed.bucket === null ? "Left out" : `${placed.bucket[0]} × ${placed.bucket[1]} · ${cutOff(placed.cut_share)}`;
  return (
    <Stack gap={4}>
      <button
        type="button"
        className={classes.frame}
        onClick={() => props.open(placed.item)}
        aria-label={`Open ${placed.item}: ${said}`}
      >
        <span
          className={classes.picture}
          style={{
            aspectRatio: `${placed.width} / ${placed.height}`,
            ...(placed.width >= placed.height ? { width: "100%" } : { height: "100%" }),
          }}
        >
          <Thumb datasetId={props.datasetId} item={placed.item} size={256} />
          {placed.bucket === null ? (
            <span className={classes.out} />
          ) : (
            <span
              className={classes.box}
              style={{
                left: share(left, placed.width),
                top: share(top, placed.height),
                width: share(right - left, placed.width),
                height: share(bottom - top, placed.height),
              }}
            />
          )}
        </span>
      </button>
      <Text size="xs" truncate title={placed.item}>
        {fileName(placed.item)}
      </Text>
      <Text size="xs" c="dimmed" className="numbers">
        {said}
      </Text>
    </Stack>
  );
}

function cutOff(share: number): string {
  if (share <= 0) return "nothing cut off";
  return share < 0.001 ? "under 0.1 % cut off" : `${(100 * share).toFixed(share < 0.1 ? 1 : 0)} % cut off`;
}
