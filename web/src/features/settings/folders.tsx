import { ActionIcon, Button, Group, Stack, Text, TextInput } from "@mantine/core";
import { Folder, House, X } from "lucide-react";
import { type FormEvent, useState } from "react";
import type { Disk } from "@/api/generated/types.gen";
import { problemOf } from "@/api/problem";
import { useDraft } from "@/shared/draft";
import { bytes } from "@/shared/format";
import { Section } from "@/shared/section";

/** One list of folders, with a field for another one. What is wrong with it is said below the field. */
export function Folders(props: {
  kind: "datasets" | "models";
  title: string;
  about: string;
  own: string | undefined;
  folders: readonly string[];
  disks: readonly Disk[];
  change: (folders: string[], done: () => void) => void;
  error: unknown;
  isSaving: boolean;
  forget: () => void;
}) {
  const { folders, change } = props;
  const typed = useDraft(`settings ${props.kind}`, 1, "");
  const [isMine, setMine] = useState(false);
  const add = (event: FormEvent) => {
    event.preventDefault();
    const folder = typed.value.trim();
    if (!folder) return;
    setMine(true);
    change([...folders, folder], typed.clear);
  };
  const remove = (folder: string) => {
    setMine(true);
    change(
      folders.filter((each) => each !== folder),
      () => {},
    );
  };
  return (
    <Section title={props.title} about={props.about}>
      <Stack component="ul" gap="xs" m={0} p={0} style={{ listStyle: "none" }}>
        {props.own && <Row icon={<House size={16} aria-hidden />} path={props.own} said="Loratory's own" />}
        {folders.map((folder) => {
          const disk = props.disks.find((each) => each.path === folder);
          const said = disk && (disk.free_bytes === null ? "is not there now" : `${bytes(disk.free_bytes)} free`);
          return (
            <Row key={folder} icon={<Folder size={16} aria-hidden />} path={folder} said={said}>
              <ActionIcon
                variant="subtle"
                color="gray"
                aria-label={`Remove ${folder} from the list`}
                onClick={() => remove(folder)}
              >
                <X size={16} aria-hidden />
              </ActionIcon>
            </Row>
          );
        })}
      </Stack>
      <form onSubmit={add}>
        <Group align="flex-start" gap="sm">
          <TextInput
            label={`Another folder of ${props.kind}`}
            description="Its whole path on the machine of the server. Removing it from the list later deletes nothing."
            value={typed.value}
            onChange={(event) => {
              typed.set(event.currentTarget.value);
              if (isMine) props.forget();
              setMine(false);
            }}
            placeholder={`/home/me/${props.kind}`}
            error={isMine && props.error ? problemOf(props.error).message : undefined}
            flex="1 1 16rem"
            inputWrapperOrder={["label", "input", "error", "description"]}
          />
          <Button
            type="submit"
            variant="default"
            mt={{ xs: "1.5625rem" }}
            loading={isMine && props.isSaving}
            disabled={!typed.value.trim()}
          >
            Add
          </Button>
        </Group>
      </form>
    </Section>
  );
}

function Row(props: { icon: React.ReactNode; path: string; said: string | undefined; children?: React.ReactNode }) {
  return (
    <Group component="li" gap="sm" wrap="nowrap" mih="1.75rem">
      {props.icon}
      <Text size="sm" style={{ overflowWrap: "anywhere" }} flex={1}>
        {props.path}
      </Text>
      <Text size="sm" c="dimmed" style={{ whiteSpace: "nowrap" }}>
        {props.said}
      </Text>
      {props.children}
    </Group>
  );
}
