import { Alert, Button, Modal, Stack, Text, Textarea } from "@mantine/core";
import { Dropzone } from "@mantine/dropzone";
import { useMutation } from "@tanstack/react-query";
import { FileUp } from "lucide-react";
import { useEffect, useRef, useState } from "react";
import { importConfig } from "@/api/generated/sdk.gen";
import type { ImportOut } from "@/api/generated/types.gen";
import { Problem, problemOf } from "@/api/problem";
import { isPreset, nameOfPasted, type SentFile, toSend } from "./dropped-files";
import { ImportPreset } from "./import-preset";
import { Imported } from "./imported";

interface Props {
  close: () => void;
  imported: () => void;
  /** What was dropped on the page already. */
  files?: readonly File[];
}

/** Settings of another trainer, of ours, or out of a LoRA file, as a new draft; or a preset. */
export function ImportDialog(props: Props & { opened: boolean }) {
  return (
    <Modal
      opened={props.opened}
      onClose={props.close}
      title="Import"
      size="lg"
      closeButtonProps={{ "aria-label": "Close" }}
    >
      {props.opened && <Inside {...props} />}
    </Modal>
  );
}

type Found = { readonly preset: SentFile } | { readonly answer: ImportOut };

function Inside({ close, imported, files }: Props) {
  const [pasted, setPasted] = useState("");
  const read = useMutation({
    mutationFn: async (given: readonly File[] | SentFile): Promise<Found> => {
      const sent = "name" in given ? [given] : await toSend(given);
      const [first] = sent;
      if (first && sent.length === 1 && isPreset(first)) return { preset: first };
      return { answer: (await importConfig({ body: { files: sent } })).data };
    },
    meta: { tellsItself: true },
  });
  const { mutate } = read;
  const begun = useRef(false);
  useEffect(() => {
    if (!files || begun.current) return;
    begun.current = true;
    mutate(files);
  }, [files, mutate]);
  const found = read.data;
  return (
    <Stack gap="md">
      <Dropzone
        onDrop={(dropped) => mutate(dropped)}
        loading={read.isPending}
        p="lg"
        inputProps={{ "aria-label": "Files" }}
      >
        <Stack align="center" gap={4} ta="center">
          <FileUp size={28} aria-hidden />
          <Text size="sm" fw={600}>
            Drop files here, or click to choose
          </Text>
          <Text size="sm" c="dimmed">
            kohya's TOML (both files together) or JSON, ai-toolkit's YAML, a job file, a preset, or a LoRA (only its
            header is read)
          </Text>
        </Stack>
      </Dropzone>
      {!found && (
        <Textarea
          label="Or paste it: a file's text or a command line"
          value={pasted}
          onChange={(event) => setPasted(event.currentTarget.value)}
          autosize
          minRows={2}
          maxRows={8}
          spellCheck={false}
        />
      )}
      {!found && pasted.trim() !== "" && (
        <Button
          variant="default"
          style={{ alignSelf: "flex-start" }}
          loading={read.isPending}
          onClick={() => mutate({ name: nameOfPasted(pasted), text: pasted })}
        >
          Read what was pasted
        </Button>
      )}
      {read.error && (
        <Alert color="red" title="This could not be read">
          {sayWhy(read.error)}
        </Alert>
      )}
      {found && "preset" in found && <ImportPreset file={found.preset} close={close} />}
      {found && "answer" in found && <Imported answer={found.answer} close={close} imported={imported} />}
    </Stack>
  );
}

/** What the browser found wrong with a file has words of its own. */
function sayWhy(error: unknown): string {
  return error instanceof Error && !(error instanceof Problem) && error.name === "Error"
    ? error.message
    : problemOf(error).message;
}
