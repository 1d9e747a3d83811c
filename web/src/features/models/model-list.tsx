import { Button, Chip, CloseButton, Group, Stack, Text, TextInput } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Boxes, Search } from "lucide-react";
import { type ReactNode, useRef } from "react";
import { listArchitecturesOptions, listModelsOptions } from "@/api/generated/@tanstack/react-query.gen";
import { plural } from "@/shared/format";
import { useShortcut } from "@/shared/shortcuts";
import { RowSkeletons } from "@/shared/skeletons";
import { Empty, Failed } from "@/shared/states";
import { KINDS, type Kind, kindOf, search } from "./kinds";
import { ModelRow } from "./model-row";
import classes from "./models.module.css";

/** All files of weights on this machine, by kind. `q` and `kind` are in the address. */
export function ModelList(props: {
  q: string;
  kind: Kind | undefined;
  onChange: (next: { q?: string; kind?: Kind }) => void;
  /** Where folders are chosen. */
  foldersLink: ReactNode;
}) {
  const { q, kind, onChange } = props;
  const { data, error, refetch } = useQuery(listModelsOptions());
  const { data: architectures = [] } = useQuery(listArchitecturesOptions());
  const field = useRef<HTMLInputElement>(null);
  useShortcut("/", "Search the models", () => field.current?.focus());
  if (error && !data) return <Failed error={error} again={refetch} />;
  if (!data) return <RowSkeletons what="the models" rows={5} height={56} />;
  if (data.models.length === 0) {
    return (
      <Empty icon={Boxes} title="No models on this machine yet" action={props.foldersLink}>
        Base models, VAEs and LoRA files that lie in a folder of yours are listed here once Settings knows the folder.
        The bundled demo model needs no file.
      </Empty>
    );
  }
  const titles = new Map(architectures.map((each) => [each.name, each.title]));
  const found = search(data.models, q);
  const shown = found.filter((model) => kind === undefined || kindOf(model) === kind);
  const groups = KINDS.map((each) => ({ ...each, models: shown.filter((model) => kindOf(model) === each.kind) }));
  return (
    <Stack gap="lg">
      <Group gap="sm">
        <TextInput
          ref={field}
          value={q}
          onChange={(event) => onChange({ q: event.currentTarget.value, kind })}
          placeholder="Name, architecture or trigger word"
          aria-label="Search the models"
          leftSection={<Search size={16} aria-hidden />}
          rightSection={q && <CloseButton size="sm" aria-label="Clear the search" onClick={() => onChange({ kind })} />}
          flex="1 1 16rem"
          maw={{ sm: "24rem" }}
        />
        <Chip.Group value={kind ?? ""} onChange={(value) => onChange({ q, kind: (value as Kind) || undefined })}>
          <Group gap={6}>
            <Chip value="" size="xs">
              All {data.models.length}
            </Chip>
            {KINDS.map((each) => {
              const many = found.filter((model) => kindOf(model) === each.kind).length;
              return many === 0 && kind !== each.kind ? null : (
                <Chip key={each.kind} value={each.kind} size="xs">
                  {each.label} {many}
                </Chip>
              );
            })}
          </Group>
        </Chip.Group>
      </Group>
      <Text size="sm" c="dimmed" aria-live="polite" className="visually-quiet">
        {q || kind ? `${plural(shown.length, "file")} found` : plural(shown.length, "file")}
      </Text>
      {groups
        .filter((group) => group.models.length > 0)
        .map((group) => (
          <Stack key={group.kind} gap="xs" component="section" aria-label={group.label}>
            <Text component="h2" fw={650} size="sm" m={0}>
              {group.label}
            </Text>
            <ul className={classes.list}>
              {group.models.map((model) => (
                <ModelRow key={model.id} model={model} architecture={titles.get(model.architecture ?? "")} />
              ))}
            </ul>
          </Stack>
        ))}
      {shown.length === 0 && (
        <Empty
          icon={Search}
          title="Nothing fits"
          action={
            <Button variant="default" onClick={() => onChange({})}>
              Show all models
            </Button>
          }
        >
          No file has all of these words and is of this kind.
        </Empty>
      )}
    </Stack>
  );
}
