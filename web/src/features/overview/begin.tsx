import { Button, Group, Paper } from "@mantine/core";
import { FolderUp, Images, ImageUp } from "lucide-react";
import { useRef } from "react";
import { type DroppedFile, pickedFiles } from "@/shared/dropped";
import { Empty } from "@/shared/states";

/** An empty studio: what to do first. */
export function Begin(props: { add: (files: DroppedFile[]) => void }) {
  const files = useRef<HTMLInputElement>(null);
  const folder = useRef<HTMLInputElement>(null);
  const picked = (input: HTMLInputElement) => {
    const found = pickedFiles(input.files);
    input.value = ""; // the same files may be picked again
    if (found.length > 0) props.add(found);
  };
  return (
    <Paper withBorder>
      <Empty
        icon={Images}
        title="Begin with pictures"
        action={
          <Group gap="xs" justify="center" mt="xs">
            <Button leftSection={<FolderUp size={16} aria-hidden />} onClick={() => folder.current?.click()}>
              Pick a folder
            </Button>
            <Button
              variant="default"
              leftSection={<ImageUp size={16} aria-hidden />}
              onClick={() => files.current?.click()}
            >
              Pick files
            </Button>
          </Group>
        }
      >
        Drop a folder with pictures of what your LoRA shall learn anywhere in this window, or pick it. Captions beside
        the pictures and archives are taken, too.
      </Empty>
      <input
        ref={files}
        type="file"
        multiple
        hidden
        aria-label="Files to begin with"
        data-testid="begin-files"
        onChange={(event) => picked(event.currentTarget)}
      />
      <input
        ref={(input) => {
          folder.current = input;
          input?.setAttribute("webkitdirectory", "");
        }}
        type="file"
        hidden
        aria-label="Folder to begin with"
        data-testid="begin-folder"
        onChange={(event) => picked(event.currentTarget)}
      />
    </Paper>
  );
}
