import { Checkbox, Text } from "@mantine/core";
import { forwardRef, type HTMLAttributes, type KeyboardEvent, type MouseEvent, useMemo, useRef } from "react";
import { VirtuosoGrid, type VirtuosoGridHandle } from "react-virtuoso";
import type { PictureOut } from "@/api/generated/types.gen";
import { fileName, type ThumbSize } from "../addresses";
import { Thumb } from "../thumb";
import classes from "./gallery.module.css";

export type CardSize = "s" | "m" | "l";

const THUMBS: Record<CardSize, ThumbSize> = { s: 128, m: 256, l: 512 };

interface GalleryProps {
  datasetId: string;
  total: number;
  size: CardSize;
  picture: (place: number) => PictureOut | undefined;
  look: (first: number, last: number) => void;
  chosen: ReadonlySet<string>;
  open: (item: string) => void;
  click: (picture: PictureOut, place: number, how: "toggle" | "extend") => void;
}

type GridPart = HTMLAttributes<HTMLDivElement> & { "data-testid"?: string };

/** Thousands of pictures, of which only those in sight exist. A click opens one; Ctrl, Shift or the box choose. */
export function Gallery(props: GalleryProps) {
  const grid = useRef<VirtuosoGridHandle>(null);
  const frame = useRef<HTMLDivElement>(null);
  const components = useMemo(
    () => ({
      List: forwardRef<HTMLDivElement, GridPart>(function List(part, ref) {
        return <div {...part} ref={ref} className={classes.list} data-size={props.size} />;
      }),
    }),
    [props.size],
  );

  /** Arrows go from picture to picture; the grid scrolls along. */
  function onKeyDown(event: KeyboardEvent<HTMLDivElement>) {
    const active = document.activeElement;
    const here = active instanceof HTMLElement ? active.closest<HTMLElement>("[data-place]") : null;
    if (!here || event.altKey || event.ctrlKey || event.metaKey) return;
    const list = here.closest(`.${classes.list}`);
    const columns = list ? getComputedStyle(list).gridTemplateColumns.split(" ").length : 1;
    const steps: Record<string, number> = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns };
    const step = steps[event.key];
    const place = Number(here.dataset.place);
    const picture = props.picture(place);
    if (event.key === " " && picture) {
      event.preventDefault();
      props.click(picture, place, event.shiftKey ? "extend" : "toggle");
    }
    if (step === undefined) return;
    event.preventDefault();
    const next = Math.min(props.total - 1, Math.max(0, place + step));
    const reached = props.picture(next);
    // Shift takes along what is on the way, from where it was pressed first.
    if (event.shiftKey && picture && props.chosen.size === 0) props.click(picture, place, "toggle");
    if (event.shiftKey && reached) props.click(reached, next, "extend");
    const focus = () =>
      frame.current
        ?.querySelector<HTMLElement>(`[data-place="${next}"] .${classes.open}`)
        ?.focus({ preventScroll: true });
    grid.current?.scrollToIndex({ index: next, align: "center" });
    requestAnimationFrame(() => requestAnimationFrame(focus));
  }
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: the keys move between the buttons inside
    <div ref={frame} className={classes.frame} onKeyDown={onKeyDown}>
      <VirtuosoGrid
        ref={grid}
        totalCount={props.total}
        components={components}
        itemClassName={classes.item}
        overscan={{ main: 600, reverse: 300 }}
        rangeChanged={({ startIndex, endIndex }) => props.look(startIndex, endIndex)}
        style={{ height: "100%" }}
        itemContent={(place) => (
          <Card
            datasetId={props.datasetId}
            picture={props.picture(place)}
            place={place}
            size={props.size}
            isChosen={props.chosen.has(props.picture(place)?.path ?? "")}
            open={props.open}
            click={props.click}
          />
        )}
        data-testid="gallery"
        tabIndex={-1}
      />
    </div>
  );
}

function Card(props: {
  datasetId: string;
  picture: PictureOut | undefined;
  place: number;
  size: CardSize;
  isChosen: boolean;
  open: GalleryProps["open"];
  click: GalleryProps["click"];
}) {
  const { picture } = props;
  if (!picture) return <div className={classes.card} data-place={props.place} />;
  const name = fileName(picture.path);
  function onClick(event: MouseEvent) {
    if (!picture) return;
    if (event.shiftKey) props.click(picture, props.place, "extend");
    else if (event.ctrlKey || event.metaKey) props.click(picture, props.place, "toggle");
    else props.open(picture.path);
  }
  return (
    <div className={classes.card} data-place={props.place} data-chosen={props.isChosen || undefined}>
      <button type="button" className={classes.open} onClick={onClick} aria-label={`Open ${picture.path}`}>
        <Thumb
          datasetId={props.datasetId}
          item={picture.path}
          stamp={picture.stamp}
          size={THUMBS[props.size]}
          fit="cover"
        />
      </button>
      <Checkbox
        className={classes.check}
        size={props.size === "s" ? "xs" : "sm"}
        checked={props.isChosen}
        onChange={() => undefined}
        onClick={(event) => props.click(picture, props.place, event.shiftKey ? "extend" : "toggle")}
        aria-label={`Choose ${picture.path}`}
        tabIndex={-1}
      />
      {props.size !== "s" && (
        <div className={classes.said}>
          <Text size="xs" fw={500} truncate title={picture.path}>
            {name}
          </Text>
          <Text size="xs" c="dimmed" lineClamp={props.size === "l" ? 3 : 1} title={picture.caption ?? ""}>
            {picture.caption_problem || picture.caption?.trim() || "No caption"}
          </Text>
        </div>
      )}
    </div>
  );
}
