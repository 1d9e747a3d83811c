import { Alert, Button, Code, CopyButton, Group, Modal, SegmentedControl, Stack, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { exportConfig } from "@/api/generated/sdk.gen";
import type { Form } from "@/forms/form";
import { Failed, Loading } from "@/shared/states";
import { Notes } from "./notes";
import { saveFile } from "./save-file";

type Target = "loratory" | "kohya" | "ai-toolkit";

/** The draft as a file of ours or of another trainer, with what that cannot say. */
export function ExportDialog(props: { opened: boolean; close: () => void; form: Form }) {
  return (
    <Modal
      opened={props.opened}
      onClose={props.close}
      title="Export"
      size="xl"
      closeButtonProps={{ "aria-label": "Close" }}
    >
      {props.opened && <Inside form={props.form} />}
    </Modal>
  );
}

function Inside({ form }: { form: Form }) {
  const [to, setTo] = useState<Target>("loratory");
  const data = form.state.data;
  const found = useQuery({
    queryKey: ["export", data, to],
    queryFn: async ({ signal }) => (await exportConfig({ body: { data, to }, signal })).data,
    retry: false,
  });
  return (
    <Stack gap="md">
      <SegmentedControl
        aria-label="For which program"
        data={[
          { value: "loratory", label: "Loratory" },
          { value: "kohya", label: "kohya" },
          { value: "ai-toolkit", label: "ai-toolkit" },
        ]}
        value={to}
        onChange={(value) => setTo(value as Target)}
      />
      {found.error && <Failed error={found.error} again={found.refetch} />}
      {found.isPending && <Loading what="the file" />}
      {found.data && (
        <>
          {found.data.notes.length > 0 && (
            <Alert variant="default" title="What is not the same there">
              <Notes notes={found.data.notes} />
            </Alert>
          )}
          {found.data.files.length > 1 && (
            <Group justify="space-between">
              <Text size="sm" c="dimmed">
                Both files belong together; keep them in one folder.
              </Text>
              <Button
                size="compact-sm"
                onClick={() => {
                  for (const file of found.data.files) saveFile(file.name, file.text);
                }}
              >
                Download both
              </Button>
            </Group>
          )}
          {found.data.files.map((file) => (
            <Stack key={file.name} gap={6}>
              <Group justify="space-between">
                <Text size="sm" fw={600}>
                  {file.name}
                </Text>
                <Group gap="xs">
                  <CopyButton value={file.text}>
                    {({ copied, copy }) => (
                      <Button size="compact-sm" variant="default" onClick={copy}>
                        {copied ? "Copied" : "Copy"}
                      </Button>
                    )}
                  </CopyButton>
                  <Button size="compact-sm" variant="light" onClick={() => saveFile(file.name, file.text)}>
                    Download
                  </Button>
                </Group>
              </Group>
              <Code block mah={260} style={{ overflow: "auto" }} tabIndex={0}>
                {file.text}
              </Code>
            </Stack>
          ))}
        </>
      )}
    </Stack>
  );
}
