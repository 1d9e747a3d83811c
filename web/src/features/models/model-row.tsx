import { ActionIcon, Box, Group, Menu, Text } from "@mantine/core";
import { useClipboard } from "@mantine/hooks";
import { notifications } from "@mantine/notifications";
import { useQueryClient } from "@tanstack/react-query";
import { CircleAlert, Copy, EllipsisVertical, Trash2 } from "lucide-react";
import { listModelsQueryKey } from "@/api/generated/@tanstack/react-query.gen";
import { deleteModel } from "@/api/generated/sdk.gen";
import type { LocalModel } from "@/api/generated/types.gen";
import { askDelete } from "@/shared/delete-dialog";
import { bytes } from "@/shared/format";
import { factsOf } from "./kinds";
import classes from "./models.module.css";

/** The file's or folder's own name, of the Hub the repository; and where it lies. */
function called({ root, relative, path }: LocalModel): [string, string] {
  if (root === "hub") return [relative, "from the Hub"];
  return [relative.split("/").at(-1) ?? relative, root === "runs" ? `trained here, ${path}` : path];
}

/** One file or folder: what it is, what its header says, and what can be done with it. */
export function ModelRow(props: { model: LocalModel; architecture: string | undefined }) {
  const { model } = props;
  const queries = useQueryClient();
  const clipboard = useClipboard();
  const [name, place] = called(model);
  const again = () => queries.invalidateQueries({ queryKey: listModelsQueryKey() });
  const remove = () =>
    askDelete({
      what: name,
      bytes: model.bytes,
      about: "Jobs that name it cannot begin until it is back.",
      remove: async () => {
        const { data } = await deleteModel({ path: { model_id: model.id } });
        await again();
        return [data.trash_id];
      },
      onRestored: again,
    });
  const copy = () => {
    clipboard.copy(model.path);
    notifications.show({ title: "Copied", message: "The path is as a job writes it." });
  };
  return (
    <li className={classes.row}>
      <Box miw={0}>
        <Text size="sm" fw={550} truncate title={name}>
          {name}
        </Text>
        <Text size="xs" c="dimmed" truncate title={model.path}>
          {place}
        </Text>
        {model.problem && (
          <Group gap={6} wrap="nowrap" align="flex-start" mt={4} className="warning-text">
            <CircleAlert size={14} aria-hidden style={{ flex: "none", marginTop: 2 }} />
            <Text size="xs">{model.problem}</Text>
          </Group>
        )}
      </Box>
      <Text size="sm" className={classes.architecture} truncate>
        {props.architecture ?? model.architecture ?? (
          <Text span inherit c="dimmed">
            Not recognised
          </Text>
        )}
      </Text>
      <Box className={classes.about} miw={0}>
        <Text size="sm" c="dimmed" truncate>
          {factsOf(model).join(" · ")}
        </Text>
        {model.trigger_words && (
          <Text size="xs" c="dimmed" truncate title={model.trigger_words}>
            Trigger: {model.trigger_words}
          </Text>
        )}
      </Box>
      <Text size="sm" c="dimmed" className={`numbers ${classes.size}`}>
        {bytes(model.bytes)}
      </Text>
      <Menu position="bottom-end" shadow="md">
        <Menu.Target>
          <ActionIcon variant="subtle" color="gray" className={classes.menu} aria-label={`Actions for ${name}`}>
            <EllipsisVertical size={16} aria-hidden />
          </ActionIcon>
        </Menu.Target>
        <Menu.Dropdown>
          <Menu.Item leftSection={<Copy size={16} aria-hidden />} onClick={copy}>
            Copy its path
          </Menu.Item>
          <Menu.Item
            c="var(--said-error)"
            leftSection={<Trash2 size={16} aria-hidden />}
            onClick={remove}
            disabled={!model.can_be_deleted}
          >
            {model.can_be_deleted
              ? "Delete…"
              : model.root === "runs"
                ? "Delete it on its run's page"
                : "Other programs use it"}
          </Menu.Item>
        </Menu.Dropdown>
      </Menu>
    </li>
  );
}
