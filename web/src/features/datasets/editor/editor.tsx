import { ActionIcon, Anchor, Group, Kbd, Modal, Stack, Text, Tooltip } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { ChevronLeft, ChevronRight, Trash2 } from "lucide-react";
import { type ReactNode, useEffect, useRef, useState } from "react";
import { getPictureOptions } from "@/api/generated/@tanstack/react-query.gen";
import { bytes, count } from "@/shared/format";
import { useShortcut } from "@/shared/shortcuts";
import { pictureUrl } from "../addresses";
import { CaptionEditor } from "./caption-editor";
import classes from "./editor.module.css";

/** Pictures with no longer side than this are shown larger: they would be lost in the middle. */
const SMALL = 384;

const timesThree = ({ width, height }: { width: number; height: number }) => ({ width: 3 * width, height: 3 * height });

interface EditorProps {
  datasetId: string;
  item: string;
  /** All pictures of the query, in its order, as it was when the editor was opened. */
  paths: readonly string[];
  as: "tags" | "text";
  setAs: (as: "tags" | "text") => void;
  go: (item: string | undefined) => void;
  /** Pictures that went to the trash since. */
  gone: ReadonlySet<string>;
  /** Ask whether it goes to the trash; afterwards `next` is shown. */
  remove: (item: string, next: string | undefined) => void;
  filter: (tag: string) => void;
}

/** A picture and its caption, side by side; the keyboard goes from one to the next. */
export function Editor(props: EditorProps) {
  const { datasetId, item, go } = props;
  // Saving a caption may take the picture out of the query: the way through them stays as it was.
  const kept = useRef<readonly string[]>([]);
  if (kept.current.length === 0 || !kept.current.includes(item)) kept.current = props.paths;
  const paths = kept.current.filter((path) => path === item || !props.gone.has(path));
  const place = paths.indexOf(item);
  // Who types goes on typing at the next picture.
  const [isTyping, setTyping] = useState(false);
  const step = (by: number, typing = false) => {
    const next = paths[place + by];
    if (next === undefined) return;
    setTyping(typing);
    go(next);
  };
  const { data } = useQuery(getPictureOptions({ path: { dataset_id: datasetId }, query: { item } }));
  const group = "Caption editor";
  useShortcut("arrowleft", "Previous picture", () => step(-1), { group });
  useShortcut("arrowright", "Next picture", () => step(1), { group });
  useShortcut("mod+enter", "Save and go to the next picture", () => step(1, isFieldFocused()), {
    group,
    whileTyping: true,
  });
  useShortcut("mod+arrowdown", "Next picture, also while typing", () => step(1, isFieldFocused()), {
    group,
    whileTyping: true,
  });
  useShortcut("mod+arrowup", "Previous picture, also while typing", () => step(-1, isFieldFocused()), {
    group,
    whileTyping: true,
  });
  // The neighbours are there before they are asked for.
  const [before, after] = [paths[place - 1], paths[place + 1]];
  useEffect(() => {
    for (const path of [before, after]) if (path) new Image().src = pictureUrl(datasetId, path);
  }, [datasetId, before, after]);
  return (
    <Modal.Root opened onClose={() => go(undefined)} fullScreen aria-label={`Caption of ${item}`}>
      <Modal.Overlay />
      <Modal.Content>
        <Modal.Header className={classes.head}>
          <Group gap="xs" wrap="nowrap" miw={0}>
            <Step label="Previous picture" keys="←" go={before === undefined ? null : () => step(-1)}>
              <ChevronLeft size={18} aria-hidden />
            </Step>
            <Step label="Next picture" keys="→" go={after === undefined ? null : () => step(1)}>
              <ChevronRight size={18} aria-hidden />
            </Step>
            <Text size="sm" c="dimmed" className="numbers" style={{ whiteSpace: "nowrap" }}>
              {place < 0 ? "" : `${count(place + 1)} of ${count(paths.length)}`}
            </Text>
            <Modal.Title className={classes.title} title={item}>
              {item}
            </Modal.Title>
          </Group>
          <Group gap={4} wrap="nowrap">
            <Tooltip label="Move to the trash">
              <ActionIcon
                variant="subtle"
                color="gray"
                aria-label={`Move ${item} to the trash`}
                onClick={() => props.remove(item, paths[place + 1] ?? paths[place - 1])}
              >
                <Trash2 size={16} aria-hidden />
              </ActionIcon>
            </Tooltip>
            <Modal.CloseButton aria-label="Close" m={0} />
          </Group>
        </Modal.Header>
        <Modal.Body className={classes.body}>
          <figure className={classes.figure}>
            <img
              key={item}
              className={classes.picture}
              src={pictureUrl(datasetId, item, data?.stamp)}
              alt={item}
              width={data?.width}
              height={data?.height}
              style={data && Math.max(data.width, data.height) < SMALL ? timesThree(data) : undefined}
            />
          </figure>
          <Stack className={classes.side} gap="md">
            <CaptionEditor
              key={item}
              datasetId={datasetId}
              item={item}
              as={props.as}
              setAs={props.setAs}
              isTyping={isTyping}
              filter={props.filter}
            />
            {data && (
              <Text size="xs" c="dimmed" className="numbers">
                {count(data.width)} × {count(data.height)} · {bytes(data.bytes)}
                {data.repeats > 1 && ` · ${data.repeats} times an epoch`}
                {data.mask && " · with a mask"}
                {" · "}
                <Anchor href={pictureUrl(datasetId, item)} target="_blank" underline="always" inherit>
                  Open the file
                </Anchor>
              </Text>
            )}
            <Text size="xs" c="dimmed" visibleFrom="sm">
              <Kbd size="xs">Ctrl</Kbd> + <Kbd size="xs">Enter</Kbd> goes to the next picture, <Kbd size="xs">Esc</Kbd>{" "}
              back to all.
            </Text>
          </Stack>
        </Modal.Body>
      </Modal.Content>
    </Modal.Root>
  );
}

function isFieldFocused(): boolean {
  const active = document.activeElement;
  return active instanceof HTMLInputElement || active instanceof HTMLTextAreaElement;
}

function Step(props: { label: string; keys: string; go: (() => void) | null; children: ReactNode }) {
  return (
    <Tooltip label={`${props.label} (${props.keys})`}>
      <ActionIcon
        variant="default"
        size={36}
        aria-label={props.label}
        disabled={props.go === null}
        data-autofocus={props.keys === "→" || undefined}
        onClick={() => props.go?.()}
      >
        {props.children}
      </ActionIcon>
    </Tooltip>
  );
}
