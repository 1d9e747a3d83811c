import { Button, Group, Modal, NumberInput, Skeleton, Stack } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { type PointerEvent, useRef, useState } from "react";
import { getPictureOptions } from "@/api/generated/@tanstack/react-query.gen";
import { Failed } from "@/shared/states";
import { pictureUrl } from "../addresses";
import { type Box, drawn, moved, withSide } from "./box";
import classes from "./crop-dialog.module.css";

const SIDES = ["Left", "Top", "Right", "Bottom"] as const;

/** A frame over one picture: drawn or moved with the pointer, or typed. */
export function CropDialog(props: {
  datasetId: string;
  item: string;
  title: string;
  box: Box | null;
  close: () => void;
  done: (box: Box | null) => void;
}) {
  const { data, error, refetch } = useQuery(
    getPictureOptions({ path: { dataset_id: props.datasetId }, query: { item: props.item } }),
  );
  const [typed, setBox] = useState(props.box);
  const frame = useRef<HTMLDivElement>(null);
  const drag = useRef<{ x: number; y: number; start: Box | null } | null>(null);
  const size = { width: data?.width ?? 1, height: data?.height ?? 1 };
  const box: Box = typed ?? [0, 0, size.width, size.height];

  function at(event: PointerEvent): { x: number; y: number } {
    const rect = frame.current?.getBoundingClientRect();
    if (!rect) return { x: 0, y: 0 };
    return {
      x: ((event.clientX - rect.left) / rect.width) * size.width,
      y: ((event.clientY - rect.top) / rect.height) * size.height,
    };
  }
  function down(event: PointerEvent<HTMLDivElement>) {
    event.currentTarget.setPointerCapture(event.pointerId);
    const point = at(event);
    const isInside = typed && point.x > box[0] && point.x < box[2] && point.y > box[1] && point.y < box[3];
    drag.current = { ...point, start: isInside ? box : null };
  }
  function move(event: PointerEvent) {
    if (!drag.current) return;
    const point = at(event);
    const { x, y, start } = drag.current;
    setBox(start ? moved(start, point.x - x, point.y - y, size) : drawn({ x, y }, point, size));
  }
  const share = (part: number, whole: number) => `${(100 * part) / whole}%`;
  return (
    <Modal
      opened
      onClose={props.close}
      title={`Crop ${props.title}`}
      size="xl"
      centered
      closeButtonProps={{ "aria-label": "Close" }}
    >
      {error ? (
        <Failed error={error} again={refetch} />
      ) : !data ? (
        <Skeleton h="50dvh" role="status" aria-label="Loading the picture" />
      ) : (
        <Stack>
          <div className={classes.around}>
            <div
              ref={frame}
              className={classes.frame}
              style={{
                aspectRatio: `${data.width} / ${data.height}`,
                maxWidth: `calc(60dvh * ${data.width / data.height})`,
              }}
              onPointerDown={down}
              onPointerMove={move}
              onPointerUp={() => {
                drag.current = null;
              }}
            >
              <img src={pictureUrl(props.datasetId, props.item, data.stamp)} alt={props.item} draggable={false} />
              <div
                className={classes.box}
                style={{
                  left: share(box[0], data.width),
                  top: share(box[1], data.height),
                  width: share(box[2] - box[0], data.width),
                  height: share(box[3] - box[1], data.height),
                }}
              />
            </div>
          </div>
          <Group grow>
            {SIDES.map((name, side) => (
              <NumberInput
                key={name}
                label={name}
                size="xs"
                min={0}
                max={side % 2 === 0 ? data.width : data.height}
                value={box[side]}
                onChange={(value) => typeof value === "number" && setBox(withSide(box, side, value, size))}
              />
            ))}
          </Group>
          <Group justify="space-between">
            <Button variant="subtle" onClick={() => props.done(null)}>
              Do not crop
            </Button>
            <Button onClick={() => props.done(typed)}>
              Keep {box[2] - box[0]} × {box[3] - box[1]}
            </Button>
          </Group>
        </Stack>
      )}
    </Modal>
  );
}
