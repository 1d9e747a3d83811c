import { Button, Group, Stack, Text } from "@mantine/core";
import { Dropzone } from "@mantine/dropzone";
import { FolderUp, ImageUp, Upload } from "lucide-react";
import { useRef } from "react";
import type { DroppedFile } from "@/shared/dropped";
import classes from "./drop-area.module.css";
import { droppedOf } from "./dropped";

/** Where files, folders and archives are dropped or picked. */
export function DropArea(props: { add: (dropped: DroppedFile[]) => void; compact?: boolean }) {
  const files = useRef<HTMLInputElement>(null);
  const folder = useRef<HTMLInputElement>(null);
  function picked(input: HTMLInputElement) {
    props.add(droppedOf([...(input.files ?? [])]));
    input.value = ""; // the same files may be picked again
  }
  return (
    <Dropzone
      onDrop={(dropped) => props.add(droppedOf(dropped))}
      activateOnClick={false}
      activateOnKeyboard={false}
      enablePointerEvents
      useFsAccessApi={false}
      // What is dropped beside it belongs to the page.
      preventDropOnDocument={false}
      tabIndex={-1}
      inputProps={{ tabIndex: -1, "aria-hidden": true }}
      p={props.compact ? "sm" : "xl"}
      className={classes.area}
    >
      <Group justify="center" gap="lg" wrap="wrap">
        <Upload size={props.compact ? 22 : 32} aria-hidden className={classes.icon} />
        <Stack gap={2} maw="30rem">
          <Text fw={500}>Drop pictures, folders or an archive here</Text>
          <Text size="sm" c="dimmed">
            Captions, masks and sub-folders come along. Archives: .zip, .tar, .tar.gz, .tgz, .rar, .7z.
          </Text>
        </Stack>
        <Group gap="xs">
          <Button
            variant="default"
            leftSection={<ImageUp size={16} aria-hidden />}
            onClick={() => files.current?.click()}
          >
            Pick files
          </Button>
          <Button
            variant="default"
            leftSection={<FolderUp size={16} aria-hidden />}
            onClick={() => folder.current?.click()}
          >
            Pick a folder
          </Button>
        </Group>
      </Group>
      <input
        ref={files}
        type="file"
        multiple
        hidden
        aria-label="Files to add"
        data-testid="pick-files"
        onChange={(event) => picked(event.currentTarget)}
      />
      <input
        ref={(input) => {
          folder.current = input;
          input?.setAttribute("webkitdirectory", "");
        }}
        type="file"
        hidden
        aria-label="Folder to add"
        data-testid="pick-folder"
        onChange={(event) => picked(event.currentTarget)}
      />
    </Dropzone>
  );
}
