import { Center, Stack, Text, Title } from "@mantine/core";
import { FileUp } from "lucide-react";
import { useEffect, useState } from "react";
import { areSettings } from "./dropped-files";
import { ImportDialog } from "./import-dialog";
import classes from "./train.module.css";

/** Settings dropped anywhere on the page are imported; pictures, folders and archives go on to the datasets. */
export function DropSettings({ imported }: { imported: () => void }) {
  const [isOver, setOver] = useState(false);
  const [files, setFiles] = useState<readonly File[] | null>(null);
  useEffect(() => {
    let leave = 0;
    const over = (event: DragEvent) => {
      if (!mayBeSettings(event)) return;
      event.preventDefault();
      setOver(true);
      window.clearTimeout(leave);
      leave = window.setTimeout(() => setOver(false), 200);
    };
    const drop = (event: DragEvent) => {
      setOver(false);
      const dropped = [...(event.dataTransfer?.files ?? [])];
      if (isInDialog(event) || !areSettings(dropped)) return;
      event.preventDefault();
      setFiles(dropped);
    };
    // Before the page around it, which would make a dataset of them.
    window.addEventListener("dragover", over, true);
    window.addEventListener("drop", drop, true);
    return () => {
      window.clearTimeout(leave);
      window.removeEventListener("dragover", over, true);
      window.removeEventListener("drop", drop, true);
    };
  }, []);
  return (
    <>
      {isOver && (
        <Center className={classes.drop} aria-hidden>
          <Stack align="center" gap="xs">
            <FileUp size={40} />
            <Title order={2} size="h3">
              Drop to import settings
            </Title>
            <Text c="dimmed">Pictures, folders and archives make a dataset</Text>
          </Stack>
        </Center>
      )}
      <ImportDialog
        opened={files !== null}
        files={files ?? undefined}
        close={() => setFiles(null)}
        imported={imported}
      />
    </>
  );
}

/** Names are told only when they are dropped; kinds before, where they have one. */
function mayBeSettings(event: DragEvent): boolean {
  const items = [...(event.dataTransfer?.items ?? [])].filter((each) => each.kind === "file");
  return (
    items.length > 0 && !isInDialog(event) && !items.some((each) => /^image|zip|rar|7z|tar|text\/plain/.test(each.type))
  );
}

function isInDialog(event: DragEvent): boolean {
  return event.target instanceof Element && event.target.closest("[role=dialog]") !== null;
}
