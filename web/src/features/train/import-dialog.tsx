import { Alert, Button, Group, Modal, Radio, Stack, Text, Textarea } from "@mantine/core";
import { Dropzone } from "@mantine/dropzone";
import { useMutation } from "@tanstack/react-query";
import { FileUp } from "lucide-react";
import { useState } from "react";
import { importConfig } from "@/api/generated/sdk.gen";
import { problemOf } from "@/api/problem";
import { addDraft } from "./drafts";
import { nameOfPasted, type SentFile, toSend } from "./dropped-files";
import { Notes } from "./notes";

/** Settings of another trainer, of ours, or out of a LoRA file, as a new draft. */
export function ImportDialog(props: { opened: boolean; close: () => void; imported: () => void }) {
  return (
    <Modal opened={props.opened} onClose={props.close} title="Import" size="lg">
      {props.opened && <Inside {...props} />}
    </Modal>
  );
}

function Inside({ close, imported }: { close: () => void; imported: () => void }) {
  const [pasted, setPasted] = useState("");
  const [chosen, setChosen] = useState("0");
  const read = useMutation({
    mutationFn: async (files: readonly File[] | SentFile[]) => {
      const sent = files.some((each) => each instanceof File) ? await toSend(files as File[]) : (files as SentFile[]);
      return (await importConfig({ body: { files: sent } })).data;
    },
    meta: { tellsItself: true },
  });
  const jobs = read.data?.jobs ?? [];
  const job = jobs[Number(chosen)] ?? jobs[0];
  return (
    <Stack gap="md">
      <Dropzone
        onDrop={(files) => read.mutate(files)}
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
            kohya's TOML (both files together) or JSON, ai-toolkit's YAML, a job file, or a LoRA (only its header is
            read)
          </Text>
        </Stack>
      </Dropzone>
      <Textarea
        label="Or paste it: a file's text or a command line"
        value={pasted}
        onChange={(event) => setPasted(event.currentTarget.value)}
        autosize
        minRows={2}
        maxRows={8}
        spellCheck={false}
      />
      {pasted.trim() !== "" && (
        <Button
          variant="default"
          style={{ alignSelf: "flex-start" }}
          loading={read.isPending}
          onClick={() => read.mutate([{ name: nameOfPasted(pasted), text: pasted }])}
        >
          Read what was pasted
        </Button>
      )}
      {read.error && (
        <Alert color="red" title="This could not be read">
          {read.error instanceof Error && read.error.name === "Error"
            ? read.error.message
            : problemOf(read.error).message}
        </Alert>
      )}
      {jobs.length > 1 && (
        <Radio.Group label="Which of the jobs" value={chosen} onChange={setChosen}>
          <Stack gap={4} mt={4}>
            {jobs.map((each, i) => (
              <Radio key={each.source} value={String(i)} label={String(each.data.name ?? each.source)} />
            ))}
          </Stack>
        </Radio.Group>
      )}
      {job && (
        <>
          <Text size="sm" aria-live="polite">
            Read as {FORMATS[read.data?.format ?? ""] ?? read.data?.format}.{" "}
            {job.findings.filter((each) => each.level === "error").length > 0 &&
              "Some settings need a look; they are marked in the form."}
          </Text>
          {job.tokens.length > 0 && (
            <Alert color="orange" title="Tokens in the file">
              It holds {job.tokens.join(", ")}. They are left out; Settings keeps tokens.
            </Alert>
          )}
          <Notes notes={job.notes} />
          <Group justify="flex-end">
            <Button variant="default" onClick={close}>
              Cancel
            </Button>
            <Button
              onClick={() => {
                addDraft(job.data);
                close();
                imported();
              }}
            >
              Make a draft of it
            </Button>
          </Group>
        </>
      )}
    </Stack>
  );
}

const FORMATS: Readonly<Record<string, string>> = {
  kohya: "settings of kohya's trainer",
  "ai-toolkit": "settings of ai-toolkit",
  loratory: "a job file",
  lora: "the metadata of a LoRA file",
};
