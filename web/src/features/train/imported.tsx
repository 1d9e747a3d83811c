import { Alert, Button, Collapse, Group, Radio, Stack, Text } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { useState } from "react";
import type { ImportOut } from "@/api/generated/types.gen";
import { plural } from "@/shared/format";
import { addDraft } from "./drafts";
import { Notes } from "./notes";
import { PresetForm } from "./preset-form";

/** What was in the files, what of it could not be taken over, and what to make of it. */
export function Imported(props: { answer: ImportOut; close: () => void; imported: () => void }) {
  const { answer, close, imported } = props;
  const [chosen, setChosen] = useState("0");
  const [naming, preset] = useDisclosure(false);
  const job = answer.jobs[Number(chosen)] ?? answer.jobs[0];
  if (!job) return <Text>There is no job in it.</Text>;
  const mistakes = job.findings.filter((each) => each.level === "error").length;
  return (
    <>
      {answer.jobs.length > 1 && (
        <Radio.Group label="Which of the jobs" value={chosen} onChange={setChosen}>
          <Stack gap={4} mt={4}>
            {answer.jobs.map((each, i) => (
              // biome-ignore lint/suspicious/noArrayIndexKey: two jobs of a file may be called the same
              <Radio key={i} value={String(i)} label={String(each.data.name ?? each.source)} />
            ))}
          </Stack>
        </Radio.Group>
      )}
      <Text size="sm" aria-live="polite">
        Read as {FORMATS[answer.format] ?? answer.format}.{" "}
        {mistakes > 0 && `${plural(mistakes, "setting")} still to be looked at; the form marks them.`}
      </Text>
      {job.tokens.length > 0 && (
        <Alert color="orange" title="Tokens in the file">
          It holds {job.tokens.join(", ")}. They are left out; Settings keeps tokens.
        </Alert>
      )}
      <Notes notes={job.notes} />
      <Collapse expanded={naming}>
        <PresetForm data={job.data} name={typeof job.data.name === "string" ? job.data.name : ""} />
      </Collapse>
      <Group justify="flex-end">
        <Button variant="default" onClick={close}>
          Cancel
        </Button>
        <Button variant="default" onClick={preset.toggle} aria-expanded={naming}>
          Make a preset of it
        </Button>
        <Button
          onClick={() => {
            addDraft(job.data, false);
            close();
            imported();
          }}
        >
          Make a draft of it
        </Button>
      </Group>
    </>
  );
}

const FORMATS: Readonly<Record<string, string>> = {
  kohya: "settings of kohya's trainer",
  "ai-toolkit": "settings of ai-toolkit",
  loratory: "a job file",
  lora: "the metadata of a LoRA file",
};
